"""Late writes: what lands at a source after the flip comes home, or is told as a conflict; nothing is covered, nothing lost."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from tests.support.data_room import Room, md5

from rehouse.core.lifecycle import Status
from rehouse.core.model import CopyOutcome, Fault
from rehouse.operations.accept import accept
from rehouse.operations.migrate import migrate_all
from rehouse.operations.steps import busy_rows


@pytest.fixture
def moved(room: Room) -> Room:
    """A room whose three documents are at home; all sources are there still."""
    room.documents("a", "b", "c")
    assert room.migrate().status is Status.COMPLETED
    return room


def line(room: Room, document_id: str) -> dict[str, Any]:
    """The ledger's line of a document."""
    query = "SELECT to_jsonb(m) FROM s3_migration_documents m WHERE document_id = %s"
    found: dict[str, Any] = room.sql(query, document_id)[0][0]
    return found


def written_at_home(room: Room, document_id: str, body: bytes) -> str:
    """Overwrite a document at home as the application does, its row with it; return the ETag."""
    bucket, key = room.pointer(document_id)
    etag = room.put(key or "", body, bucket=bucket)
    room.sql("UPDATE documents SET etag = %s WHERE id = %s", etag, document_id)
    return etag


def test_an_overwritten_source_comes_home_with_the_next_run(moved: Room) -> None:
    before = line(moved, "b")
    etag = moved.put("k/b", b"late")
    report = moved.migrate()
    assert (report.status, report.errors, report.late_writes, report.this_run) == (Status.COMPLETED, 0, 1, 0)
    assert moved.body("b") == b"late"
    after = line(moved, "b")
    assert (after["source_etag"], after["source_size"], after["state"]) == (etag, 4, "flipped")
    assert after["flipped_at"] > before["flipped_at"]
    row = moved.sql("SELECT s3_bucket, s3_key, file_size, etag, s3_version_id FROM documents WHERE id = 'b'")[0]
    found = moved.root.head_object(Bucket=row[0], Key=row[1])
    assert row[2:] == (4, found["ETag"].strip('"'), found["VersionId"])
    assert row[:2] == (moved.home(), "documents/b/b.txt")
    assert [line(moved, each)["source_etag"] for each in "ac"] == [md5(b"a"), md5(b"c")]
    assert moved.verify(deep=True).is_well
    assert moved.migrate().had_nothing_to_do


def test_a_run_over_all_tenants_brings_late_writes_home(moved: Room) -> None:
    moved.put("k/c", b"late")
    with moved.services() as services:
        reports = migrate_all(services, services.ledger.tenants())
    assert [(each.late_writes, each.status) for each in reports] == [(1, Status.COMPLETED)]
    assert moved.body("c") == b"late"


def test_a_few_sources_among_many_are_asked_for_by_head(moved: Room) -> None:
    moved.tenant("globex")
    moved.sql(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) SELECT 'g' || n, t.id, 'g', 'g', 'g' || n, 1 "
        "FROM generate_series(1, 3500) n, tenants t WHERE slug = 'globex'"
    )
    moved.put("k/a", b"late")
    with moved.services() as services:
        [report] = migrate_all(services, [services.ledger.tenant("acme")])
        listed = services.bulk.requests["list"]
    moved.put("k/a", b"later")
    assert listed >= 1
    with moved.services() as services:
        from rehouse.operations.migrate import migrate_one

        report = migrate_one(services, services.ledger.tenant("acme"))
        assert services.bulk.requests["list"] == 0
    assert (report.late_writes, moved.body("a")) == (1, b"later")


def test_a_source_back_after_its_removal_is_a_late_write(moved: Room) -> None:
    moved.root.delete_object(Bucket=moved.shared, Key="k/b")
    moved.sql("UPDATE s3_migration_documents SET state = 'removed' WHERE document_id = 'b'")
    assert moved.migrate().had_nothing_to_do
    moved.put("k/b", b"late")
    assert moved.migrate().late_writes == 1
    assert moved.body("b") == b"late"
    assert line(moved, "b")["state"] == "flipped"


@pytest.mark.parametrize("written", ["named", "", None])
def test_a_removed_key_given_away_is_the_others_alone(moved: Room, written: str | None) -> None:
    moved.root.delete_object(Bucket=moved.shared, Key="k/b")
    moved.sql("UPDATE s3_migration_documents SET state = 'removed' WHERE document_id = 'b'")
    moved.put("k/b", b"another document")
    moved.row("new", "k/b", bucket=moved.shared if written else written)
    for _ in range(2):  # before the other document is at home, and afterwards
        [conflict] = moved.migrate().outstanding
        assert (conflict.document_id, conflict.code) == ("b", "Conflict")
        assert (moved.body("b"), moved.body("new")) == (b"b", b"another document")
    moved.root.delete_object(Bucket=moved.shared, Key="k/b")
    assert moved.migrate().status is Status.COMPLETED


def test_a_write_on_both_sides_is_a_conflict_and_both_are_kept(moved: Room) -> None:
    written_at_home(moved, "b", b"at home")
    moved.put("k/b", b"late")
    report = moved.migrate()
    assert (report.status, report.late_writes) == (Status.FAILED, 0)
    [conflict] = report.outstanding
    assert (conflict.document_id, conflict.code, conflict.state) == ("b", "Conflict", "flipped")
    assert f"s3://{moved.shared}/k/b (ETag {md5(b'late')})" in (conflict.message or "")
    assert f"s3://{moved.home()}/documents/b/b.txt (ETag {md5(b'at home')})" in (conflict.message or "")
    assert moved.body("b") == b"at home"
    assert moved.root.get_object(Bucket=moved.shared, Key="k/b")["Body"].read() == b"late"


def test_a_conflict_is_told_once_and_stays_outstanding(moved: Room) -> None:
    written_at_home(moved, "b", b"at home")
    moved.put("k/b", b"late")
    moved.migrate()
    first = line(moved, "b")
    assert moved.migrate().errors == 1
    assert line(moved, "b") == first
    moved.put("k/b", b"later still")
    assert moved.migrate().errors == 1
    assert md5(b"later still") in line(moved, "b")["error_message"]


def test_a_row_moved_within_the_home_makes_a_conflict(moved: Room) -> None:
    moved.put("documents/b/second.txt", b"second", bucket=moved.home())
    moved.sql("UPDATE documents SET s3_key = 'documents/b/second.txt' WHERE id = 'b'")
    moved.put("k/b", b"late")
    [conflict] = moved.migrate().outstanding
    assert conflict.code == "Conflict"
    assert "documents/b/second.txt" in (conflict.message or "")
    assert moved.body("b") == b"second"


def test_the_version_in_the_home_is_accepted(moved: Room) -> None:
    written_at_home(moved, "b", b"at home")
    moved.put("k/b", b"late")
    moved.migrate()
    with moved.services() as services:
        report = accept(services, services.ledger.tenant("acme"), ["b"], "the customer wants the newer one")
    assert (report.status, report.errors) == (Status.COMPLETED, 0)
    assert (line(moved, "b")["source_etag"], line(moved, "b")["error_code"]) == (md5(b"late"), None)
    reasons = moved.sql("SELECT reason FROM s3_migration_events WHERE event = 'document_accepted'")
    assert reasons == [("b: the customer wants the newer one",)]
    assert moved.migrate().had_nothing_to_do
    assert moved.body("b") == b"at home"


def test_only_the_late_write_that_was_told_is_accepted(moved: Room) -> None:
    written_at_home(moved, "b", b"at home")
    moved.put("k/b", b"late")
    moved.migrate()
    moved.put("k/b", b"later still")
    with moved.services() as services:
        accept(services, services.ledger.tenant("acme"), ["b"], "told")
    assert [each.code for each in moved.migrate().outstanding] == ["Conflict"]


def test_a_conflict_whose_late_object_was_taken_away_is_none(moved: Room) -> None:
    written_at_home(moved, "b", b"at home")
    moved.put("k/b", b"late")
    moved.migrate()
    moved.root.delete_object(Bucket=moved.shared, Key="k/b")
    report = moved.migrate()
    assert (report.status, report.errors) == (Status.COMPLETED, 0)


def test_a_late_version_copied_home_by_hand_is_no_conflict(moved: Room) -> None:
    written_at_home(moved, "b", b"at home")
    moved.put("k/b", b"late")
    moved.migrate()
    source = {"Bucket": moved.shared, "Key": "k/b"}
    moved.root.copy_object(Bucket=moved.home(), Key="documents/b/b.txt", CopySource=source)
    report = moved.migrate()
    assert (report.status, report.late_writes, moved.body("b")) == (Status.COMPLETED, 1, b"late")
    assert moved.sql("SELECT etag FROM documents WHERE id = 'b'") == [(md5(b"late"),)]
    assert moved.verify(deep=True).is_well


def test_two_documents_that_came_from_one_object_both_follow_it(room: Room) -> None:
    room.documents("a")
    room.row("b", "k/a", bucket=room.shared)
    room.migrate()
    room.put("k/a", b"late")
    assert room.migrate().late_writes == 2
    assert (room.body("a"), room.body("b")) == (b"late", b"late")


def test_the_usage_follows_a_late_write(moved: Room) -> None:
    moved.put("k/b", b"much longer than before")
    moved.migrate()
    exact = moved.sql("SELECT sum(coalesce(nullif(file_size, 0), size)) FROM documents")[0][0]
    assert exact == len(b"much longer than before") + 2
    [(counted,)] = moved.sql("SELECT storage_used_bytes FROM tenant_usage ORDER BY month LIMIT 1")
    assert counted == exact


def test_a_late_write_to_a_deleted_document_is_no_conflict(moved: Room) -> None:
    moved.sql("DELETE FROM documents WHERE id = 'b'")
    moved.put("k/b", b"late")
    report = moved.migrate()
    assert (report.status, report.had_nothing_to_do, line(moved, "b")["error_code"]) == (Status.COMPLETED, True, None)


def test_a_conflict_of_a_document_that_is_then_deleted_is_none(moved: Room) -> None:
    written_at_home(moved, "b", b"at home")
    moved.put("k/b", b"late")
    moved.migrate()
    moved.sql("DELETE FROM documents WHERE id = 'b'")
    assert moved.migrate().status is Status.COMPLETED


def test_another_tenants_writes_never_come_home(moved: Room) -> None:
    moved.tenant("globex")
    moved.put("k/b", b"theirs")
    moved.row("theirs", "k/b", slug="globex", bucket=moved.shared)
    [conflict] = moved.migrate().outstanding
    assert conflict.code == "Conflict"
    assert "another tenant" in (conflict.message or "")
    assert moved.body("b") == b"b"


def test_a_copy_that_a_run_made_before_it_died_is_no_conflict(moved: Room) -> None:
    """The late write is home, the transaction was never committed."""
    moved.put("k/b", b"late")
    moved.root.copy_object(
        Bucket=moved.home(), Key="documents/b/b.txt", CopySource={"Bucket": moved.shared, "Key": "k/b"}
    )
    report = moved.migrate()
    assert (report.status, report.late_writes) == (Status.COMPLETED, 1)
    assert moved.body("b") == b"late"
    assert moved.verify(deep=True).is_well


def test_a_locked_row_is_settled_once_it_is_free(moved: Room) -> None:
    moved.put("k/b", b"late")
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        threading.Timer(1, busy.rollback).start()
        assert moved.migrate().late_writes == 1
    assert moved.body("b") == b"late"


def test_a_row_that_stays_locked_is_for_the_next_run(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 2)
    monkeypatch.setattr(busy_rows, "PAUSE_SECONDS", 0.05)
    moved.put("k/a", b"late a")
    moved.put("k/b", b"late b")
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        report = moved.migrate()
    assert (report.late_writes, report.status) == (1, Status.FAILED)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "RowLocked")]
    assert moved.migrate().status is Status.COMPLETED
    assert moved.body("b") == b"late b"


def test_an_ignored_condition_copies_late_writes_under_the_lock(
    moved: Room,
) -> None:
    moved.put("k/b", b"late")
    held: list[bool] = []
    with moved.services() as services:
        engine = services.engine.copy

        def copy(tasks):
            for task in tasks:
                held.append(not moved.sql("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE SKIP LOCKED"))
                yield from engine([task])

        services.engine.copy = copy  # type: ignore[method-assign]
        migrate_all(services, services.ledger.tenants())
    assert held == [True, True], "once to bring it home, once to ask about the condition"


def test_what_a_lockless_writer_puts_at_home_is_not_covered(moved: Room) -> None:
    moved.put("k/b", b"late")
    with moved.services() as services:
        engine = services.engine.copy

        def copy(tasks):
            for task in tasks:
                now = moved.put(task.target.key, b"at home, just now", bucket=task.target.bucket)
                if task.replaces_etag == now:
                    yield from engine([task])
                else:  # as S3 answers; the server of the tests knows no condition on a copy's target
                    yield CopyOutcome(task, fault=Fault("PreconditionFailed", "the target changed"))

        services.engine.copy = copy  # type: ignore[method-assign]
        [report] = migrate_all(services, services.ledger.tenants())
    assert [each.code for each in report.outstanding] == ["Conflict"]
    assert moved.body("b") == b"at home, just now"


def test_a_failed_copy_is_outstanding_and_the_others_come_home(moved: Room) -> None:
    moved.put("k/a", b"late a")
    moved.put("k/b", b"late b")
    with moved.services() as services:
        engine = services.engine.copy

        def copy(tasks):
            for task in tasks:
                if task.document_id == "a":
                    yield CopyOutcome(task, fault=Fault("SlowDown", "too much", "R1"))
                else:
                    yield from engine([task])

        services.engine.copy = copy  # type: ignore[method-assign]
        [report] = migrate_all(services, services.ledger.tenants())
    assert [(each.document_id, each.code, each.request_id) for each in report.outstanding] == [("a", "SlowDown", "R1")]
    assert (moved.body("a"), moved.body("b")) == (b"a", b"late b")
    assert moved.migrate().status is Status.COMPLETED
    assert moved.body("a") == b"late a"
