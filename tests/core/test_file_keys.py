"""The keys of files: the truth table is the test, and no two tenants ever get the same key in a shared bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.errors import BadUpload
from rehouse.core.file_keys import RESERVED, file_key, is_of_another_tenant, is_own_key

SEGMENTS = st.sampled_from([*sorted(RESERVED), "7", "8", "a", "b.pdf", "files", "x y"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)


@pytest.mark.parametrize(("bucket", "name", "key"), truth_table(file_key))
def test_the_table_of_keys(bucket: str, name: str, key: str) -> None:
    assert file_key(7, name, is_shared=bucket == "shared") == key


@given(NAMES, st.booleans(), st.booleans())
def test_the_key_of_a_key_is_the_same(name: str, before: bool, now: bool) -> None:
    key = file_key(7, name, is_shared=before)
    assert file_key(7, key, is_shared=before) == key
    moved = file_key(7, key, is_shared=now)
    assert file_key(7, moved, is_shared=before) == key


@given(NAMES, NAMES)
def test_two_tenants_never_share_a_key(one: str, other: str) -> None:
    keys = file_key(7, one, is_shared=True), file_key(8, other, is_shared=True)
    assert keys[0] != keys[1]
    assert is_own_key(7, keys[0], is_shared=True)
    assert not is_own_key(7, keys[1], is_shared=True)


@given(NAMES)
def test_a_file_never_gets_a_key_of_a_document(name: str) -> None:
    key = file_key(7, name, is_shared=False)
    assert "/" not in key or key.partition("/")[0] not in RESERVED


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "a/../../b", "s3://bucket/a", "a\0b", "\ud800", "x" * 1025, "tenants/7/"]
)
def test_a_name_that_no_key_can_have_is_refused(name: str) -> None:
    with pytest.raises(BadUpload, match="cannot be a file's"):
        file_key(7, name, is_shared=False)


@pytest.mark.parametrize(("tenant", "key", "told"), truth_table(is_of_another_tenant))
def test_the_table_of_other_tenants_folders(tenant: str, key: str, told: str) -> None:
    assert is_of_another_tenant(int(tenant) if tenant.isdigit() else tenant, key) is (told == "yes")


@given(NAMES)
def test_a_key_of_a_file_is_never_another_tenants(name: str) -> None:
    uuid = "7f3a0000-0000-4000-8000-00000000000a"
    assert not is_of_another_tenant(7, file_key(7, name, is_shared=True))
    assert not is_of_another_tenant(uuid, file_key(uuid, name, is_shared=True))
    assert is_of_another_tenant(8, file_key(7, name, is_shared=True))
    assert not is_of_another_tenant(7, file_key(7, name, is_shared=False))
