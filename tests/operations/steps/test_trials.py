"""The trial before the cutover: what no row of a kind would go through is named while nothing is switched yet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest
from tests.support.data_room import Room
from tests.support.refusing_rows import share_keys, trigger

from rehouse.core.errors import Refused, TryAgain
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.steps import busy_rows, trials
from rehouse.operations.steps.run import Order


def generated(room: Room) -> None:
    room.sql("ALTER TABLE documents RENAME s3_key TO path")
    room.sql("ALTER TABLE documents ADD s3_key varchar(1000) GENERATED ALWAYS AS (path) STORED")


def another_type(room: Room) -> None:
    room.sql("ALTER TABLE documents ALTER etag TYPE uuid USING NULL")


REFUSALS: dict[str, tuple[Callable[[Room], object], str]] = {
    "a foreign key on the key": (share_keys, "23503"),
    "a rule": (lambda room: room.sql("CREATE RULE kept AS ON UPDATE TO documents DO INSTEAD NOTHING"), "documents"),
    "a protecting trigger": (
        lambda room: trigger(room, "documents", "RAISE EXCEPTION 'documents are kept';"),
        "documents are kept",
    ),
    "a trigger that leaves every row out": (
        lambda room: trigger(room, "documents", "RETURN NULL;"),
        "left the row as it was",
    ),
    "a check at the commit": (
        lambda room: trigger(room, "documents", "RAISE EXCEPTION 'late';", "AFTER UPDATE", "CONSTRAINT TRIGGER"),
        "late",
    ),
    "a tenant's row that is protected": (
        lambda room: trigger(room, "tenants", "RAISE EXCEPTION 'tenants are kept';"),
        "tenants are kept",
    ),
    "a tenant's row that is kept": (
        lambda room: trigger(
            room, "tenants", "NEW.aws_bucket_name := OLD.aws_bucket_name; RETURN NEW;"
        ),
        "left the row as it was",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_refuses_every_row_is_named_before_the_switch(room: Room, name: str) -> None:
    room.documents("a", "b")
    refuse, told = REFUSALS[name]
    room.migrate(until=Phase.COPIED)
    refuse(room)
    with pytest.raises(Refused) as refused:
        room.migrate()
    assert "nothing was switched" in refused.value.message
    assert told in refused.value.message
    assert room.sql("SELECT phase, status FROM s3_migrations") == [("verified", "failed")]
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    assert {room.pointer(each)[0] for each in ("a", "b")} == {room.shared}


@pytest.mark.parametrize("change", [generated, another_type])
def test_unwritable_columns_are_found_before_any_trial(room: Room, change: Callable[[Room], None]) -> None:
    room.documents("a")
    room.migrate(until=Phase.COPIED)
    change(room)
    with pytest.raises(Refused):
        room.migrate()
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]


def test_copies_that_no_row_belongs_to_switch_nothing(room: Room) -> None:
    """As where the ledger spells an id otherwise than the row does."""
    room.documents("a", "b")
    room.migrate(until=Phase.PROVISIONED)
    room.sql(
        "CREATE FUNCTION misspell() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN NEW.document_id := 'x' || NEW.document_id; RETURN NEW; END$$"
    )
    room.sql("CREATE TRIGGER misspell BEFORE INSERT ON s3_migration_documents FOR EACH ROW EXECUTE FUNCTION misspell()")
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            room.migrate()
        assert "no row is as it was when copied (2 copies, 2 rows outside its bucket)" in refused.value.message
        assert room.sql("SELECT phase, status FROM s3_migrations") == [("verified", "failed")]
        assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]


def test_copies_whose_rows_are_gone_hold_nothing_up(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.VERIFIED)
    room.sql("DELETE FROM documents")
    room.row("b", "k/b", uploaded_at=datetime.now(UTC))  # on its way
    report = room.migrate()
    assert (report.phase, report.not_uploaded, report.errors) == (Phase.CUT_OVER, 1, 0)
    assert room.sql("SELECT state FROM s3_migration_documents") == [("superseded",)]


def test_it_is_switched_once_nothing_refuses_any_more(room: Room) -> None:
    room.documents("a")
    trigger(room, "documents", "RAISE EXCEPTION 'documents are kept';")
    with pytest.raises(Refused):
        room.migrate()
    room.sql("DROP TRIGGER guard ON documents")
    report = room.migrate()
    assert (report.phase, report.status, report.copied) == (Phase.CUT_OVER, Status.COMPLETED, 0)


def test_of_rows_that_differ_one_that_goes_through_is_enough(room: Room) -> None:
    room.documents("a", "the-longest-key-of-all")
    room.sql("ALTER TABLE documents ADD CHECK (id = 'a') NOT VALID")
    report = room.migrate()
    assert (report.phase, report.this_run, report.errors) == (Phase.CUT_OVER, 1, 1)


def test_a_row_is_tried_after_its_tenant_s_home(room: Room) -> None:
    """As for a trigger that lets rows point to no bucket but the tenant's."""
    room.sql("UPDATE tenants SET aws_bucket_name = %s", room.shared)
    room.documents("a")
    trigger(
        room,
        "documents",
        "IF NEW.s3_bucket <> (SELECT aws_bucket_name FROM tenants WHERE id = NEW.tenant_id)"
        " THEN RAISE EXCEPTION 'not the bucket of the tenant'; END IF; RETURN NEW;",
    )
    assert room.migrate().status is Status.COMPLETED


def test_nothing_of_the_trial_stays(room: Room) -> None:
    room.documents("a", "b")
    room.migrate(until=Phase.VERIFIED)
    room.sql("CREATE TABLE told (id text)")
    room.sql(
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO told VALUES (NEW.id); NOTIFY told; RETURN NEW; END$$"
    )
    room.sql("CREATE TRIGGER tell AFTER UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION tell()")
    with psycopg.connect(room.url, autocommit=True) as listener, room.services() as services:
        listener.execute("LISTEN told")
        tenant, migration = room.begun(services)
        trials.try_cutover(services, migration, tenant)
        listener.execute("SELECT 1")
        assert list(listener.notifies(timeout=0)) == []
    assert room.sql("SELECT * FROM told") == []
    assert room.states() == {"a": "copied", "b": "copied"}
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    assert room.pointer("a") == (room.shared, "k/a")


def test_rows_that_others_hold_are_no_proof(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 2)
    monkeypatch.setattr(busy_rows, "PAUSE_SECONDS", 0.05)
    room.documents("a")
    room.migrate(until=Phase.VERIFIED)
    with psycopg.connect(room.url) as busy:
        busy.execute("SELECT 1 FROM documents FOR UPDATE")
        with pytest.raises(TryAgain, match="nothing was switched"):
            room.migrate()
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    assert room.migrate().status is Status.COMPLETED


def test_a_tenant_without_a_movable_document_is_not_switched(room: Room) -> None:
    room.row("lost", "k/lost", bucket=room.shared)
    report = room.migrate()
    assert (report.phase, report.status, report.errors) == (Phase.VERIFIED, Status.FAILED, 1)
    assert any("was not switched" in note for note in report.notes)
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    room.put("k/lost", b"found")
    report = room.run_order(Order(only_failed=True))
    assert (report.phase, report.status) == (Phase.CUT_OVER, Status.COMPLETED)
    assert room.body("lost") == b"found"


def test_a_tenant_without_documents_is_switched(room: Room) -> None:
    room.row("elsewhere", None)
    report = room.migrate()
    assert (report.phase, report.status) == (Phase.CUT_OVER, Status.COMPLETED)
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(room.home(),)]
