"""Which pointers are a tenant's: the truth table is the test, and what is not certainly its own is never read."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.errors import ForeignPointer, NoSuchDocument
from rehouse.core.model import ObjectRef
from rehouse.core.routing import (
    Standing,
    buckets_of,
    canonical_id,
    judge_pointer,
    object_of,
    require_object,
    upload_bucket,
)
from rehouse.core.uploads import staged_key

ACME = buckets_of("acme-home", ["acme-former", None, "shared"], ["shared", "older"])
GONE = buckets_of("acme-home", [], ["shared", "older"], dropped=["shared"])
GRANT = "4fd25e2a-1111-4222-8333-944444444444"
KEYS = {
    "none": (None, ""),
    "none that S3 can have": ("s3://b/a.pdf", "a/../../b", "k\0", "x" * 1025),
    "of an upload not yet confirmed": (f"temp/{GRANT}/a.pdf", staged_key(GRANT, "a.pdf")),
    "any other": ("documents/7/a.pdf", "uploads/a.pdf", "temp/of-an-older-tool.pdf", "tenants/other/a.pdf"),
}
BUCKETS = {
    "none, the first shared one is left": [(None, ACME), ("", ACME)],
    "none, the first shared one is gone": [(None, GONE), ("", GONE)],
    "the tenant's home": [("acme-home", ACME), ("acme-home", GONE)],
    "another bucket of the tenant's": [("acme-former", ACME)],
    "a shared bucket that is left": [("shared", ACME), ("older", ACME), ("older", GONE)],
    "any other": [("globex-home", ACME), ("shared", GONE), ("ACME-HOME", ACME), ("acme-home ", ACME)],
}
names = st.sampled_from(["shared", "older", "acme-home", "globex-home", "", None])


@pytest.mark.parametrize(("key", "bucket", "standing"), truth_table(judge_pointer))
def test_the_table(key: str, bucket: str, standing: str) -> None:
    places = [place for kind, found in BUCKETS.items() if bucket in {kind, "any"} for place in found]
    for each in KEYS[key]:
        assert {judge_pointer(name, each, buckets) for name, buckets in places} == {standing}


def test_every_standing_is_a_line_of_the_table() -> None:
    assert {line[-1] for line in truth_table(judge_pointer)} == set(Standing)


@given(
    st.one_of(names, st.text()),
    st.one_of(st.none(), st.text()),
    names,
    st.lists(names),
    st.lists(names),
    st.lists(names),
)
def test_only_an_own_or_shared_bucket_is_ever_read(
    bucket: str | None,
    key: str | None,
    home: str | None,
    others: list[str | None],
    shared: list[str | None],
    dropped: list[str | None],
) -> None:
    named = [each for each in shared if each]
    buckets = buckets_of(home, others, named, [each for each in dropped if each])
    found = object_of(bucket, key, buckets)
    if found is not None:
        assert found.bucket in ({home, *others, *shared} - {"", None}) - ({*named} & {*dropped})
        assert found == ObjectRef(bucket or named[0], str(key))
        assert not found.key.startswith(f"temp/{GRANT}")


@pytest.mark.parametrize(("key", "bucket", "standing"), truth_table(judge_pointer))
def test_what_is_not_the_tenants_is_refused_by_name(key: str, bucket: str, standing: str) -> None:
    for each in KEYS[key]:
        for name, buckets in [place for kind, found in BUCKETS.items() if bucket in {kind, "any"} for place in found]:
            if standing in {"its_own", "shared"}:
                assert require_object(name, each, buckets, document_id="d", tenant="acme").key == each
                continue
            with pytest.raises(NoSuchDocument if standing == "no_object" else ForeignPointer) as refused:
                require_object(name, each, buckets, document_id="d", tenant="acme")
            assert refused.value.message.startswith("the document 'd' of the tenant acme ")
            assert (refused.value.subject, bool(refused.value.hint), refused.value.exit_status) == ("d", True, 2)


def test_a_key_that_could_not_be_read_is_refused() -> None:
    with pytest.raises(ForeignPointer, match="it has 3,000 characters"):
        require_object("shared", "k...", ACME, document_id="d", tenant="acme", key_fault="it has 3,000 characters")


@given(names, st.lists(names), st.lists(names))
def test_a_shared_bucket_is_never_a_tenants_own(
    home: str | None, others: list[str | None], shared: list[str | None]
) -> None:
    remaining = [each for each in shared if each]
    buckets = buckets_of(home, others, remaining)
    assert not {buckets.home, *buckets.former} & {*remaining, ""}
    assert buckets.home not in buckets.former
    assert upload_bucket(buckets) == (buckets.home or next(iter(remaining), None))


@pytest.mark.parametrize(("base_type", "value", "told"), truth_table(canonical_id))
def test_the_table_of_ids(base_type: str, value: str, told: str) -> None:
    assert (canonical_id(base_type, value) or "") == told


@pytest.mark.parametrize("value", ["", None, True, "a\0b", "\ud800", "٧", "1e3", " 7", "-", "9" * 400])
def test_no_number_is_made_of_what_is_none(value: object) -> None:
    assert canonical_id("integer", value) is None


def test_an_id_is_taken_as_it_is_given() -> None:
    uuid = UUID("7f3a0000-0000-4000-8000-00000000000a")
    assert canonical_id("uuid", uuid) == canonical_id("uuid", str(uuid).upper()) == str(uuid)
    assert canonical_id("bigint", 7) == "7"
    assert canonical_id("character varying", "x" * 36, max_length=36) == "x" * 36
    assert canonical_id("character varying", "x" * 37, max_length=36) is None
