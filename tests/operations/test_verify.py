"""Verify: well is well, and every kind of damage in a home bucket is found; before a migration it tells what is there."""

from __future__ import annotations

import pytest
from tests.support.data_room import Room

from rehouse.core.comparing import Finding, Proof
from rehouse.core.lifecycle import Phase


@pytest.fixture
def home(room: Room) -> str:
    """Migrate three documents; return their home."""
    room.documents("a", "b", "c")
    room.migrate()
    return room.home()


def findings(room: Room, *, deep: bool = False) -> dict[str, str]:
    """Document id → what verify finds wrong with it."""
    report = room.verify(deep=deep)
    assert report.is_well == (not report.problems)
    return {problem.document_id: problem.finding for problem in report.problems}


def test_a_migrated_tenant_is_well_by_s3s_own_copies(room: Room, home: str) -> None:
    report = room.verify()
    assert report.is_well
    assert report.proofs == {Proof.S3_COPY: 3}
    assert (report.extra, report.not_yet_migrated) == ([], 0)


def test_deep_reads_the_bytes(room: Room, home: str) -> None:
    report = room.verify(deep=True)
    assert report.is_well
    assert report.proofs == {Proof.BYTES: 3}


def test_other_bytes(room: Room, home: str) -> None:
    room.put("documents/a/a.txt", b"b", bucket=home)
    assert findings(room) == {"a": Finding.DIFFERENT}


def test_another_size(room: Room, home: str) -> None:
    room.put("documents/a/a.txt", b"longer", bucket=home)
    assert findings(room) == {"a": Finding.DIFFERENT}


def test_a_missing_object(room: Room, home: str) -> None:
    room.root.delete_object(Bucket=home, Key="documents/b/b.txt")
    assert findings(room) == {"b": Finding.MISSING}
    assert findings(room, deep=True) == {"b": Finding.MISSING}


def test_an_extra_object_is_named(room: Room, home: str) -> None:
    room.put("documents/stray/x", bucket=home)
    room.put("temp/upload", bucket=home)
    report = room.verify()
    assert report.extra == ["documents/stray/x"]


@pytest.mark.parametrize(
    "change", [{"ContentType": "text/csv"}, {"Metadata": {"x": "y"}}, {"Tagging": "a=b"}, {"CacheControl": "no-store"}]
)
def test_deep_sees_headers_metadata_and_tags(room: Room, home: str, change: dict) -> None:
    room.root.put_object(Bucket=home, Key="documents/a/a.txt", Body=b"a", **change)
    assert findings(room) == {}
    assert findings(room, deep=True) == {"a": Finding.DIFFERENT}


def test_what_was_written_since_is_compared_with_its_own_row(room: Room, home: str) -> None:
    etag = room.put("documents/a/a.txt", b"a, second version", bucket=home)
    assert findings(room) == {"a": Finding.DIFFERENT}
    room.sql("UPDATE documents SET etag = %s WHERE id = 'a'", f'"{etag}"')
    report = room.verify()
    assert report.is_well
    assert report.proofs == {Proof.S3_COPY: 2, Proof.ROW: 1}
    assert room.verify(deep=True).is_well
    room.put("documents/a/a.txt", b"a, damaged then", bucket=home)
    assert findings(room) == {"a": Finding.DIFFERENT}


def test_a_row_whose_claimed_size_is_wrong_is_no_damage(room: Room, home: str) -> None:
    etag = room.put("uploads/new", b"born at home", bucket=home)
    room.row("new", "uploads/new", bucket=home, etag=etag, file_size=999999)
    assert findings(room) == {}


def test_a_row_that_points_to_nothing_at_home(room: Room, home: str) -> None:
    room.row("new", "uploads/never", bucket=home)
    assert findings(room) == {"new": Finding.MISSING}


def test_drift_of_the_bucket_is_not_well(room: Room, home: str) -> None:
    room.root.put_bucket_versioning(Bucket=home, VersioningConfiguration={"Status": "Suspended"})
    report = room.verify()
    assert not report.is_well
    assert [each.setting for each in report.drift if each.kind != "not_offered"] == ["versioning"]


def test_before_init_it_tells_the_state_of_the_shared_bucket(room: Room) -> None:
    room.documents("a", "b")
    room.row("lost", "k/lost")
    room.row("young", "k/young", uploaded_at="now()")
    report = room.verify()
    assert not report.is_well
    assert (report.not_yet_migrated, report.not_uploaded, report.home_bucket) == (2, 1, None)
    assert [(each.document_id, each.finding) for each in report.problems] == [("lost", Finding.MISSING)]
    assert room.sql("SELECT to_regclass('s3_migrations'), to_regclass('s3_inventory')") == [(None, None)]


def test_half_way_it_tells_what_is_not_moved_yet(room: Room) -> None:
    room.documents("a", "b")
    room.migrate(until=Phase.VERIFIED)
    report = room.verify()
    assert (report.not_yet_migrated, report.is_well, report.extra) == (2, False, [])


def test_verify_changes_nothing(room: Room, home: str) -> None:
    tables = ("documents", "s3_migrations", "s3_migration_documents", "s3_migration_events", "s3_inventory")
    before = [room.sql(f"SELECT * FROM {name} ORDER BY 1, 2") for name in tables]
    room.put("documents/a/a.txt", b"b", bucket=home)
    room.verify(deep=True)
    assert [room.sql(f"SELECT * FROM {name} ORDER BY 1, 2") for name in tables] == before
    assert room.body("a") == b"b"
