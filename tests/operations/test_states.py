"""A tenant's state and errors: what a command reports is what `status` shows afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.data_room import Room

from rehouse.core.errors import RehouseError
from rehouse.core.lifecycle import Phase
from rehouse.core.tenant_state import TenantState, describe_rest
from rehouse.ledger.overview import Overview
from rehouse.operations import finish as finishing
from rehouse.operations import rollback as returning
from rehouse.operations.finish import FinishReport
from rehouse.operations.migrate import migrate_all
from rehouse.operations.status import overview

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION refuse();
"""


def recorded(room: Room) -> Overview:
    with room.services(writes=False) as services:
        return next(line for line in overview(services.ledger) if line.slug == "acme")


def finish(room: Room, *, dry_run: bool = False) -> FinishReport:
    with room.services() as services:
        tenant = services.ledger.tenant("acme")
        return finishing.finish_one(services, tenant, grace=timedelta(0), dry_run=dry_run)


def shown(report: object) -> tuple[TenantState, int]:
    return report.state, report.errors  # type: ignore[attr-defined]


def test_a_tenant_from_not_started_to_finished(room: Room) -> None:
    room.documents("a", "b")
    assert shown(recorded(room)) == (TenantState.NOT_STARTED, 0)
    report = room.migrate(until=Phase.VERIFIED)
    assert shown(report) == shown(recorded(room)) == (TenantState.IN_PROGRESS, 0)
    report = room.migrate()
    assert shown(report) == shown(recorded(room)) == (TenantState.COMPLETED, 0)
    removal = finish(room)
    assert shown(removal) == shown(recorded(room)) == (TenantState.FINISHED, 0)


def test_documents_that_stay_behind_need_attention(room: Room) -> None:
    room.documents("a")
    room.row("lost", "k/lost", bucket=room.shared)
    room.row("no file", None)
    report = room.migrate()
    assert shown(report) == shown(recorded(room)) == (TenantState.NEEDS_ATTENTION, 1)
    tally = recorded(room).tally
    assert tally is not None
    assert describe_rest([tally]) == "1 of 3 documents migrated: 1 without a file, 1 with an error"
    assert report.documents_total == 3


def test_a_run_that_could_not_go_on_has_failed(room: Room) -> None:
    room.documents("a")
    room.row("lost", "k/lost", bucket=room.shared)
    room.sql(REFUSE)
    with room.services() as services:
        [report] = migrate_all(services, [services.ledger.tenant("acme")])
    assert report.error
    assert shown(report) == shown(recorded(room)) == (TenantState.FAILED, 1)
    room.sql("DROP TRIGGER refuse ON documents")
    assert shown(room.migrate()) == shown(recorded(room)) == (TenantState.NEEDS_ATTENTION, 1)


def test_a_preview_changes_no_state(room: Room) -> None:
    room.documents("a")
    room.row("lost", "k/lost", bucket=room.shared)
    room.migrate()
    with room.services(writes=False) as services:
        report = returning.roll_back_one(services, services.ledger.tenant("acme"), dry_run=True)
    assert shown(report) == (TenantState.NEEDS_ATTENTION, 0)
    assert finish(room, dry_run=True).state is recorded(room).state is TenantState.NEEDS_ATTENTION


def test_a_rollback_has_its_own_words(room: Room) -> None:
    room.documents("a")
    room.migrate()
    with room.services() as services:
        report = returning.roll_back_one(services, services.ledger.tenant("acme"))
    assert shown(report) == shown(recorded(room)) == (TenantState.ROLLED_BACK, 0)


def test_a_removal_that_is_held_back_is_an_error_in_status_too(room: Room) -> None:
    room.documents("a")
    room.migrate()
    room.sql("CREATE TABLE links (url text)")
    room.sql("INSERT INTO links VALUES ('k/a')")
    foreseen = finish(room, dry_run=True)
    assert (foreseen.errors, *shown(recorded(room))) == (1, TenantState.COMPLETED, 0)
    report = finish(room)
    assert report.held_back
    assert shown(report) == shown(recorded(room)) == (TenantState.FAILED, 1)
    assert "columns outside the mapping" in (recorded(room).error_message or "")
    room.sql("DROP TABLE links")
    assert shown(finish(room)) == shown(recorded(room)) == (TenantState.FINISHED, 0)


def test_a_conflict_counts_in_every_preview(room: Room) -> None:
    room.documents("a", "b")
    room.migrate()
    bucket, key = room.pointer("a")
    room.put(key or "", b"at home", bucket=bucket)
    room.put("k/a", b"late")
    assert shown(room.migrate()) == (TenantState.NEEDS_ATTENTION, 1)
    foreseen = finish(room, dry_run=True)
    assert shown(foreseen) == shown(recorded(room)) == (TenantState.NEEDS_ATTENTION, 1)
    assert shown(finish(room)) == shown(recorded(room)) == (TenantState.NEEDS_ATTENTION, 1)


def test_a_tenant_that_is_busy_keeps_its_phase(room: Room) -> None:
    room.documents("a")
    room.migrate()
    with room.services() as services, room.services() as other:
        tenant = services.ledger.tenant("acme")
        with other.locks.hold(tenant.id, tenant.slug):
            [moved] = migrate_all(services, [tenant])
            [removed] = finishing.finish_all(services, [tenant], grace=timedelta(0))
            [returned] = returning.roll_back_all(services, [tenant])
            with pytest.raises(RehouseError, match="another operator"):
                finishing.finish_one(services, tenant, grace=timedelta(0))
    for report in (moved, removed, returned):
        assert (report.phase, report.state) == (Phase.CUT_OVER, TenantState.FAILED)
    assert shown(recorded(room)) == (TenantState.COMPLETED, 0)


def test_accepted_and_new_documents_are_told(room: Room) -> None:
    room.documents("a", "b")
    room.row("lost", "k/lost", bucket=room.shared)
    room.migrate()
    room.row("new", "documents/new", bucket=room.home())
    room.sql("DELETE FROM documents WHERE id = 'b'")
    with room.services() as services:
        services.ledger.accept(room.begun(services)[1], "lost", "it is known")
    room.migrate()
    tally = recorded(room).tally
    assert tally is not None
    assert tally.accepted == 1
    assert tally.migrated + tally.rest.total() == tally.total + tally.deleted
