"""The sample has what it promises, on paper."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from rehouse.core.copies import Reason
from rehouse.sandbox.awkward_names import IDS, KEYS, NAMES
from rehouse.sandbox.data_room import data_room
from rehouse.sandbox.sample import SHARED_BUCKET, Sample, SampleRow


@pytest.fixture(scope="module")
def sample() -> Sample:
    return data_room(SHARED_BUCKET, "integer")


def _pointer(sample: Sample, row: SampleRow) -> tuple[str, str | None]:
    return row.bucket or sample.shared_bucket, row.key


@pytest.mark.parametrize("older_tool", [False, True])
def test_it_is_the_same_every_time(older_tool: bool) -> None:
    once, again = (data_room(SHARED_BUCKET, "uuid", older_tool=older_tool) for _ in range(2))
    assert once == again


def test_tenants_of_every_kind(sample: Sample) -> None:
    by_slug = {tenant.slug: tenant for tenant in sample.tenants}
    assert len(by_slug) >= 6
    assert by_slug["default-org"].home == SHARED_BUCKET
    assert [tenant.slug for tenant in sample.tenants if not tenant.is_active] == ["hooli"]
    assert [slug for slug, expected in sample.expected.items() if not expected.documents] == ["vandelay"]


def test_the_numbers_add_up(sample: Sample) -> None:
    for expected in sample.expected.values():
        parts = expected.without_key + expected.at_home + expected.faults + expected.to_move
        assert parts == expected.documents
    assert sum(expected.documents for expected in sample.expected.values()) + sample.unassigned == len(sample.rows)
    assert sum(expected.to_move for expected in sample.expected.values()) >= 400


def test_pointers_and_objects_fit_together(sample: Sample) -> None:
    places = {(each.bucket, each.key) for each in sample.objects}
    pointers = Counter(_pointer(sample, row) for row in sample.rows if row.key)
    assert len(places) == len(sample.objects)
    assert len({row.id for row in sample.rows}) == len(sample.rows)
    missing = {row.id for row in sample.rows if row.key and _pointer(sample, row) not in places}
    assert missing == {fault.document_id for fault in sample.faults if fault.reason == Reason.MISSING_OBJECT}
    assert sorted(key for bucket, key in places if (bucket, key) not in pointers) == list(sample.orphans)
    assert len(sample.orphans) >= 3
    assert sorted(pointers.values())[-4:] == [1, 2, 2, 2]


def test_objects_of_two_tenants_are_faults_of_both(sample: Sample) -> None:
    rows = [row for row in sample.rows for fault in sample.faults if fault.document_id == row.id]
    contested = [row for row in rows if row.key == "uploads/whose-is-it.docx"]
    assert {row.slug for row in contested} == {"globex", "acme-corp"}
    assert sorted(row.bucket or "" for row in contested) == ["", SHARED_BUCKET]
    reasons = {fault.reason for fault in sample.faults}
    assert reasons == {Reason.MISSING_OBJECT, Reason.OTHER_TENANTS_OBJECT}


def test_oddities_are_all_there(sample: Sample) -> None:
    assert set(NAMES) <= {row.name for row in sample.rows}
    assert set(KEYS) <= {each.key for each in sample.objects}
    assert set(IDS) <= {row.id for row in sample.rows}
    assert Counter(row.name for row in sample.rows_of("default-org"))["Minutes.pdf"] == 2
    assert max(len(name.encode()) for name in NAMES if "é" in name) == 255
    assert all(any(char in key for key in KEYS) for char in " +%#?é文")
    assert any("\u0590" < char < "\u0700" for name in NAMES for char in name)


def test_columns_are_as_untrue_as_in_life(sample: Sample) -> None:
    rows = [row for row in sample.rows if row.key]
    assert any(row.bucket is None for row in rows)
    assert {(row.etag or "-")[0] == '"' for row in rows} == {True, False}
    assert any(row.etag is None for row in rows)
    sizes = {(each.bucket, each.key): len(each.body) for each in sample.objects}
    true_sizes = {row.id: sizes.get(_pointer(sample, row)) for row in rows}
    assert any(row.size not in (0, true_sizes[row.id]) for row in rows if true_sizes[row.id] is not None)
    assert {None, 0} <= {row.file_size for row in rows}
    assert all(row.uploaded_at is None or row.uploaded_at < datetime(2025, 1, 1, tzinfo=UTC) for row in rows)


def test_objects_carry_what_a_copy_has_to_keep(sample: Sample) -> None:
    headers = Counter(name for each in sample.objects for name in each.headers)
    assert set(headers) == {"ContentType", "ContentDisposition", "CacheControl", "ContentLanguage", "StorageClass"}
    assert len({each.headers["ContentType"] for each in sample.objects}) >= 4
    assert sum(bool(each.metadata) for each in sample.objects) > 100
    assert sum(bool(each.tags) for each in sample.objects) > 100
    assert sum(not each.body for each in sample.objects) >= 2
    assert sum(len(each.body) > 5 * 1024**2 for each in sample.objects) == 1
    assert all(value.isascii() for each in sample.objects for value in each.metadata.values())


def test_the_older_tool_left_homes_behind() -> None:
    sample = data_room(SHARED_BUCKET, "integer", older_tool=True)
    homes = {tenant.slug: tenant.home for tenant in sample.tenants if tenant.home not in (None, SHARED_BUCKET)}
    assert set(homes) == {"globex", "umbrella"}
    assert sample.expected["globex"].at_home == 3
    assert {each.bucket for each in sample.objects} == {SHARED_BUCKET, homes["globex"]}


def test_uuid_ids_are_uuids() -> None:
    assert all(len(str(tenant.id)) == 36 for tenant in data_room(SHARED_BUCKET, "uuid").tenants)
