"""Migrate, from the outside: phases, what stays behind, what changed meanwhile, and that it can be repeated."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from tests.support.data_room import Room

from rehouse.core.errors import Halt, Refused, TryAgain
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.migrate import migrate_all, migrate_one

ON_THE_WAY = (Phase.PLANNED, Phase.PROVISIONED, Phase.COPIED, Phase.VERIFIED)


@pytest.mark.parametrize("until", ON_THE_WAY)
def test_until_a_phase_and_then_on(room: Room, until: Phase) -> None:
    room.documents("a", "b")
    report = room.migrate(until=until)
    assert (report.phase, report.status, report.errors) == (until, Status.IN_PROGRESS, 0)
    assert room.pointer("a") == (room.shared, "k/a")
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    reserved = room.home()
    report = room.migrate()
    assert (report.phase, report.status, report.this_run) == (Phase.CUT_OVER, Status.COMPLETED, 2)
    assert room.home() == reserved
    assert room.pointer("a") == (reserved, "documents/a/a.txt")


def test_until_verified_again_and_again_copies_once(room: Room) -> None:
    room.documents("a", "b")
    assert room.migrate(until=Phase.VERIFIED).copied == 2
    again = room.migrate(until=Phase.VERIFIED)
    assert (again.copied, again.adopted, again.phase) == (0, 0, Phase.VERIFIED)
    assert room.migrate(until=Phase.COPIED).phase is Phase.COPIED


def test_the_history_tells_every_phase(room: Room) -> None:
    room.documents("a")
    room.migrate()
    events = [
        row[0] for row in room.sql("SELECT to_phase FROM s3_migration_events WHERE to_phase IS NOT NULL ORDER BY id")
    ]
    assert events == ["provisioned", "copied", "verified", "cut_over"]


def test_a_row_without_a_key_is_counted_and_no_error(room: Room) -> None:
    room.documents("a")
    room.row("elsewhere", None)
    report = room.migrate()
    assert (report.status, report.documents_skipped, report.documents_migrated) == (Status.COMPLETED, 1, 1)
    assert room.pointer("elsewhere") == (None, None)


def test_a_null_bucket_is_the_shared_one(room: Room) -> None:
    room.put("k")
    room.row("a", "k")
    assert room.migrate().status is Status.COMPLETED
    assert room.pointer("a") == (room.home(), "documents/a/a.txt")


def test_a_document_not_uploaded_yet_is_no_error_nor_complete(room: Room) -> None:
    room.documents("a")
    room.row("young", "k/young", uploaded_at="now()")
    report = room.migrate()
    assert (report.errors, report.not_uploaded, report.status) == (0, 1, Status.IN_PROGRESS)
    assert report.phase is Phase.CUT_OVER
    room.put("k/young", b"late")
    report = room.migrate()
    assert (report.not_uploaded, report.status, report.this_run) == (0, Status.COMPLETED, 1)
    assert room.body("young") == b"late"


def test_an_old_row_without_object_stays_and_the_others_move(room: Room) -> None:
    room.documents("a")
    room.row("lost", "k/lost")
    report = room.migrate()
    assert (report.errors, report.status, report.this_run) == (1, Status.FAILED, 1)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("lost", "missing_object")]
    assert room.sql("SELECT status, completed_at FROM s3_migrations") == [("failed", None)]
    room.put("k/lost", b"found again")
    report = room.migrate()
    assert (report.errors, report.status, room.body("lost")) == (0, Status.COMPLETED, b"found again")


def test_an_upload_to_the_shared_bucket_after_cutover_is_swept(room: Room) -> None:
    room.documents("a")
    room.migrate()
    room.documents("late")
    report = room.migrate()
    assert (report.phase, report.this_run, report.documents_migrated) == (Phase.CUT_OVER, 1, 2)
    assert room.body("late") == b"late"


def test_two_rows_of_one_tenant_on_one_object_are_two_copies(room: Room) -> None:
    room.documents("a")
    room.row("b", "k/a", bucket=room.shared)
    assert room.migrate().status is Status.COMPLETED
    assert room.pointer("a") != room.pointer("b")
    assert room.body("b") == b"a"


def test_an_object_of_two_tenants_is_nobodys_to_move(room: Room) -> None:
    room.documents("mine", "ours")
    room.tenant("globex")
    room.row("theirs", "k/ours", slug="globex")
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("ours", "other_tenants_object")]
    assert room.pointer("ours") == (room.shared, "k/ours")
    room.sql("DELETE FROM documents WHERE id = 'theirs'")
    assert room.migrate().status is Status.COMPLETED


def test_a_home_of_an_older_tool_is_adopted(room: Room) -> None:
    room.root.create_bucket(Bucket=f"{room.settings.bucket_prefix}-older")
    room.tenant("globex", f"{room.settings.bucket_prefix}-older")
    room.put("documents/x/old.txt", b"old", bucket=f"{room.settings.bucket_prefix}-older")
    room.row("x", "documents/x/old.txt", slug="globex", bucket=f"{room.settings.bucket_prefix}-older")
    room.documents("y", slug="globex")
    report = room.migrate("globex")
    assert (report.home_bucket, report.copied, report.status) == (
        f"{room.settings.bucket_prefix}-older",
        1,
        Status.COMPLETED,
    )
    assert room.pointer("x") == (f"{room.settings.bucket_prefix}-older", "documents/x/old.txt")
    assert room.root.get_bucket_versioning(Bucket=f"{room.settings.bucket_prefix}-older")["Status"] == "Enabled"


def test_a_bucket_whose_lifecycle_deletes_becomes_no_home(room: Room) -> None:
    older = f"{room.settings.bucket_prefix}-older"
    room.root.create_bucket(Bucket=older)
    room.tenant("globex", older)
    room.put("temp/contract.pdf", b"old", bucket=older)
    room.row("x", "temp/contract.pdf", slug="globex", bucket=older)
    with pytest.raises(Refused, match="below temp/"):
        room.migrate("globex")
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        room.root.get_bucket_lifecycle_configuration(Bucket=older)
    room.put("contract.pdf", b"old", bucket=older)
    room.sql("UPDATE documents SET s3_key = 'contract.pdf' WHERE id = 'x'")
    assert room.migrate("globex").status is Status.COMPLETED


def test_a_promised_home_that_was_never_made_is_made(room: Room) -> None:
    room.tenant("globex", f"{room.settings.bucket_prefix}-promised")
    room.documents("y", slug="globex")
    assert room.migrate("globex").status is Status.COMPLETED
    assert room.body("y") == b"y"
    assert room.pointer("y")[0] == f"{room.settings.bucket_prefix}-promised"


def test_a_home_that_is_the_shared_bucket_is_no_home(room: Room) -> None:
    room.tenant("default-org", room.shared)
    room.documents("d", slug="default-org")
    assert room.migrate("default-org").status is Status.COMPLETED
    assert room.pointer("d")[0] == room.home("default-org") != room.shared
    assert room.sql("SELECT previous_home FROM s3_migrations") == [(room.shared,)]


def test_a_home_that_somebody_changed_back_stops_the_run(room: Room) -> None:
    room.documents("a")
    room.migrate()
    room.sql("UPDATE tenants SET aws_bucket_name = NULL")
    room.documents("b")
    with pytest.raises(Halt, match="its row names no bucket"):
        room.migrate()
    assert room.pointer("b") == (room.shared, "k/b")


def test_two_operators_at_once_one_is_told_to_wait(room: Room) -> None:
    room.documents("a")
    with room.services() as first, room.services() as second:
        tenant = first.ledger.tenant("acme")
        with first.locks.hold(tenant.id, "acme"):
            reports = migrate_all(second, [tenant])
            assert "another operator is working on acme" in (reports[0].error or "")
            with second.locks.hold_run_of("other"), pytest.raises(TryAgain):
                second.locks.acquire(tenant.id, "acme")
    assert room.pointer("a") == (room.shared, "k/a")
    assert room.migrate().status is Status.COMPLETED


def test_a_failed_tenant_does_not_stop_the_others_unless_asked(room: Room) -> None:
    room.row("lost", "k/lost")
    room.tenant("globex")
    room.documents("g", slug="globex")
    with room.services() as services:
        tenants = services.ledger.tenants()
        fast = migrate_all(services, tenants, fail_fast=True)
        assert [(each.slug, each.errors) for each in fast] == [("acme", 1)]
        reports = migrate_all(services, tenants, parallel=1)
    assert [(each.slug, each.status) for each in reports] == [("acme", Status.FAILED), ("globex", Status.COMPLETED)]


@pytest.mark.parametrize(("settled", "status", "errors"), [(False, "failed", 1), (True, "in_progress", 0)])
def test_an_interrupted_run_never_says_completed(room: Room, settled: bool, status: str, errors: int) -> None:
    room.documents("a")
    room.row("lost", "k/lost")
    assert room.migrate().status is Status.FAILED
    if settled:
        room.sql("DELETE FROM documents WHERE id = 'lost'")
        assert room.migrate().status is Status.COMPLETED
    room.documents("late")
    with room.stopped_at_home() as services:
        (report,) = migrate_all(services, services.ledger.tenants())
    assert (report.interrupted, report.status, report.errors) == (True, status, errors)
    row = "SELECT status, completed_at, documents_failed FROM s3_migrations"
    assert room.sql(row) == [(status, None, errors)]
    room.put("k/lost", b"found again")
    assert room.migrate().status is Status.COMPLETED


def test_a_second_run_only_lists_the_shared_bucket(room: Room) -> None:
    room.documents("a", "b")
    room.migrate()
    with room.services() as services:
        reports = migrate_all(services, services.ledger.tenants())
        assert dict(services.bulk.requests) == {"list": 1}
    assert reports[0].had_nothing_to_do
    assert (reports[0].documents_migrated, reports[0].status) == (2, Status.COMPLETED)


@pytest.mark.parametrize(
    "change", ["DELETE FROM documents WHERE id = 'lost'", "UPDATE documents SET s3_key = NULL WHERE id = 'lost'"]
)
def test_a_fault_that_was_put_right_in_the_row_is_none_any_more(room: Room, change: str) -> None:
    room.documents("a")
    room.row("lost", "k/lost")
    assert room.migrate().status is Status.FAILED
    room.sql(change)
    report = room.migrate()
    assert (report.status, report.errors, report.outstanding) == (Status.COMPLETED, 0, [])


def test_a_document_back_in_the_shared_bucket_comes_home_again(room: Room) -> None:
    """A writer with the home from before the switch: a new key in the shared bucket, then the row."""
    room.documents("a", "b")
    room.migrate()
    room.put("k/newer", b"a, newer")
    room.sql("UPDATE documents SET s3_bucket = %s, s3_key = 'k/newer' WHERE id = 'a'", room.shared)
    assert room.body("a") == b"a, newer"
    assert room.migrate().status is Status.COMPLETED
    assert room.body("a") == b"a, newer"
    assert room.pointer("a") == (room.home(), "documents/a/a.txt")
    assert room.verify(deep=True).is_well


def test_a_row_with_an_id_of_a_deleted_one_gets_its_own_bytes(room: Room) -> None:
    room.documents("a")
    room.migrate()
    room.sql("DELETE FROM documents WHERE id = 'a'")
    room.put("k/second", b"the second a")
    room.row("a", "k/second", bucket=room.shared)
    assert room.migrate().status is Status.COMPLETED
    assert room.body("a") == b"the second a"


def test_what_was_written_at_home_is_never_covered(room: Room) -> None:
    """Overwritten at home after the flip; then the source changes too (a presigned upload that came late): a conflict."""
    room.documents("a")
    room.migrate()
    etag = room.put("documents/a/a.txt", b"newer, at home", bucket=room.home())
    room.sql("UPDATE documents SET etag = %s", etag)
    room.put("k/a", b"late, at the source")
    room.documents("b")
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "Conflict")]
    assert (report.this_run, room.body("a"), room.body("b")) == (1, b"newer, at home", b"b")


def test_an_inactive_tenants_object_is_not_taken_either(room: Room) -> None:
    room.documents("a")
    room.tenant("gone")
    room.sql("UPDATE tenants SET is_active = false WHERE slug = 'gone'")
    room.row("theirs", "k/a", slug="gone")
    assert [each.code for each in room.migrate().outstanding] == ["other_tenants_object"]


def test_rows_that_come_during_the_run_are_swept_by_it(room: Room) -> None:
    room.documents("a")
    with room.services() as services:
        engine, late = services.engine.copy, iter(["b", "c"])

        def copy(tasks):
            room.documents(*[each for each in [next(late, None)] if each])
            yield from engine(tasks)

        services.engine.copy = copy  # type: ignore[method-assign]
        report = migrate_one(services, services.ledger.tenant("acme"))
    assert (report.status, report.this_run) == (Status.COMPLETED, 3)
