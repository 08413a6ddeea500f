"""The trial before a rollback: what no row at home would go through is named while the home is not given back yet."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from pydantic import SecretStr
from tests.support.data_room import Room
from tests.support.refusing_rows import share_keys, trigger

from rehouse.core.errors import Refused, RehouseError, TryAgain
from rehouse.core.lifecycle import Phase, Status
from rehouse.core.row_refusals import ROW_REFUSED
from rehouse.operations.report import ReturnReport, is_home_adopted
from rehouse.operations.rollback import roll_back_one
from rehouse.operations.steps import busy_rows, trials

EVERYTHING = (
    "SELECT * FROM documents ORDER BY id",
    "SELECT * FROM tenants ORDER BY id",
    "SELECT * FROM s3_migration_documents ORDER BY document_id",
    "SELECT phase, home_bucket, previous_home FROM s3_migrations",
    "SELECT * FROM s3_migration_events ORDER BY id",
)


def roll_back(room: Room) -> ReturnReport:
    with room.services() as services:
        return roll_back_one(services, services.ledger.tenant("acme"))


def everything(room: Room) -> list[object]:
    return [*(room.sql(query) for query in EVERYTHING), room.keys(room.shared), room.keys(room.home())]


@pytest.fixture
def moved(room: Room) -> Room:
    """A room whose two documents are at home."""
    room.documents("a", "b")
    assert room.migrate().status is Status.COMPLETED
    return room


def check(room: Room) -> None:
    room.sql(f"ALTER TABLE documents ADD CONSTRAINT own_bucket_only CHECK (s3_bucket <> '{room.shared}')")


def fewer_rights(room: Room) -> None:
    """Let the operations work as a user who may update every column but the key."""
    login, password = f"poor_{room.settings.bucket_prefix}", "x"
    room.sql(f"CREATE ROLE {login} LOGIN BYPASSRLS PASSWORD '{password}'")
    room.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {login}; GRANT ALL ON SCHEMA public TO {login};")
    room.sql(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {login}; REVOKE UPDATE ON documents FROM {login}")
    names = "s3_bucket, file_size, etag, s3_version_id, s3_checksum, s3_migrated_at"
    room.sql(f"GRANT UPDATE ({names}) ON documents TO {login}")
    parts = psycopg.conninfo.conninfo_to_dict(room.url)
    url = f"postgresql://{login}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    room.settings = room.settings.model_copy(update={"database_url": SecretStr(url)})


REFUSALS: dict[str, tuple[Callable[[Room], object], str]] = {
    "a protecting trigger": (
        lambda room: trigger(room, "documents", "RAISE EXCEPTION 'documents are kept';"),
        "documents are kept",
    ),
    "a trigger that leaves every row out": (
        lambda room: trigger(room, "documents", "RETURN NULL;"),
        "left the row as it was",
    ),
    "a trigger that keeps the key": (
        lambda room: trigger(room, "documents", "NEW.s3_key := OLD.s3_key; RETURN NEW;"),
        "left the row as it was",
    ),
    "a check at the commit": (
        lambda room: trigger(room, "documents", "RAISE EXCEPTION 'late';", "AFTER UPDATE", "CONSTRAINT TRIGGER"),
        "late",
    ),
    "a rule": (
        lambda room: room.sql("CREATE RULE kept AS ON UPDATE TO documents DO INSTEAD NOTHING"),
        "left the row as it was",
    ),
    "a check constraint": (check, "own_bucket_only"),
    "a foreign key on the key": (share_keys, "23503"),
    "a right that is missing": (fewer_rights, "permission denied for table documents"),
    "a tenant's row that is protected": (
        lambda room: trigger(room, "tenants", "RAISE EXCEPTION 'tenants are kept';"),
        "the tenant's row in tenants: PostgreSQL refused the update of its row: tenants are kept",
    ),
    "a tenant's row that is left out": (
        lambda room: trigger(room, "tenants", "RETURN NULL;"),
        "left the row as it was",
    ),
    "a tenant's row that is kept": (
        lambda room: trigger(room, "tenants", "NEW.aws_bucket_name := OLD.aws_bucket_name; RETURN NEW;"),
        "left the row as it was",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_refuses_every_row_is_named_and_keeps_the_home(moved: Room, name: str) -> None:
    refuse, told = REFUSALS[name]
    refuse(moved)
    before = everything(moved)
    with pytest.raises(Refused) as refused:
        roll_back(moved)
    assert "acme: nothing was given back: " in refused.value.message
    assert told in refused.value.message
    assert refused.value.hint == "change what refuses it, then run the same command again"
    assert everything(moved) == before
    assert moved.sql("SELECT phase, status FROM s3_migrations") == [("cut_over", "failed")]


def test_an_old_key_that_no_longer_fits_the_column(room: Room) -> None:
    key = f"k/{'long' * 20}"
    room.put(key, b"a")
    room.row("a", key, bucket=room.shared)
    room.migrate()
    room.sql("ALTER TABLE documents ALTER s3_key TYPE varchar(60)")
    before = everything(room)
    with pytest.raises(Refused, match=r"nothing was given back: no row in documents .*too long"):
        roll_back(room)
    assert everything(room) == before


def test_it_goes_back_once_nothing_refuses_any_more(moved: Room) -> None:
    trigger(moved, "documents", "RAISE EXCEPTION 'documents are kept';")
    with pytest.raises(Refused):
        roll_back(moved)
    moved.sql("DROP TRIGGER guard ON documents")
    report = roll_back(moved)
    assert (report.phase, report.status, report.this_run) == (Phase.ROLLED_BACK, Status.ROLLED_BACK, 2)
    assert [moved.pointer(each) for each in "ab"] == [(moved.shared, "k/a"), (moved.shared, "k/b")]


def test_what_the_ledger_knows_no_source_of_is_tried_too(moved: Room) -> None:
    moved.sql("DELETE FROM documents")
    moved.put("uploads/new.pdf", b"new", bucket=moved.home())
    moved.row("new", "uploads/new.pdf", bucket=moved.home(), file_size=3)
    moved.sql("ALTER TABLE documents ADD CHECK (file_size > 0)")
    moved.sql("ALTER TABLE documents ADD CONSTRAINT nowhere_else CHECK (s3_key NOT LIKE 'returned/%')")
    before = everything(moved)
    with pytest.raises(Refused, match=r"the document new: .*constraint nowhere_else"):
        roll_back(moved)
    assert everything(moved) == before
    moved.sql("ALTER TABLE documents DROP CONSTRAINT nowhere_else")
    assert roll_back(moved).this_run == 1
    assert moved.body("new") == b"new"


def test_a_row_is_tried_after_its_tenant_s_home(moved: Room) -> None:
    """As for a trigger that lets no row leave the bucket that is the tenant's."""
    trigger(
        moved,
        "documents",
        "IF EXISTS (SELECT FROM tenants WHERE id = NEW.tenant_id AND aws_bucket_name <> NEW.s3_bucket)"
        " THEN RAISE EXCEPTION 'not the bucket of the tenant'; END IF; RETURN NEW;",
    )
    assert roll_back(moved).status is Status.ROLLED_BACK


def test_nothing_of_the_trial_stays(moved: Room) -> None:
    moved.sql("CREATE TABLE told (id text)")
    trigger(moved, "documents", "INSERT INTO told VALUES (NEW.id); NOTIFY told; RETURN NEW;", "AFTER UPDATE")
    before = everything(moved)
    with psycopg.connect(moved.url, autocommit=True) as listener, moved.services() as services:
        listener.execute("LISTEN told")
        tenant, migration = moved.begun(services)
        trials.try_return(services, migration, tenant, is_adopted=is_home_adopted(tenant, migration))
        listener.execute("SELECT 1")
        assert list(listener.notifies(timeout=0)) == []
    assert moved.sql("SELECT * FROM told") == []
    assert everything(moved) == before


def test_a_session_that_ends_within_the_trial_leaves_nothing(moved: Room) -> None:
    trigger(moved, "documents", "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;", "AFTER UPDATE")
    before = everything(moved)
    with pytest.raises(RehouseError):
        roll_back(moved)
    assert everything(moved) == before
    moved.sql("DROP TRIGGER guard ON documents")
    assert roll_back(moved).status is Status.ROLLED_BACK


def test_rows_that_others_hold_are_no_proof(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 2)
    monkeypatch.setattr(busy_rows, "PAUSE_SECONDS", 0.05)
    before = everything(moved)
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents FOR UPDATE")
        with pytest.raises(TryAgain, match="nothing was given back: other transactions hold the rows in documents"):
            roll_back(moved)
    assert everything(moved) == before
    assert roll_back(moved).status is Status.ROLLED_BACK


def test_a_tenant_with_nothing_at_home_is_not_tried(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.VERIFIED)
    trigger(room, "documents", "RAISE EXCEPTION 'documents are kept';")
    assert roll_back(room).status is Status.ROLLED_BACK
    assert room.pointer("a") == (room.shared, "k/a")


def test_what_stays_in_an_adopted_home_is_not_tried(room: Room) -> None:
    own = f"own-{room.shared}"
    room.root.create_bucket(Bucket=own)
    room.sql("UPDATE tenants SET aws_bucket_name = %s", own)
    room.put("theirs", b"theirs", bucket=own)
    room.row("theirs", "theirs", bucket=own)
    room.documents("a")
    room.migrate()
    room.sql("DELETE FROM documents WHERE id = 'a'")
    trigger(room, "documents", "RAISE EXCEPTION 'documents are kept';")
    report = roll_back(room)
    assert (report.status, report.stays) == (Status.ROLLED_BACK, 1)


def test_run_again_it_tries_nothing(moved: Room) -> None:
    """The home is given back: a row that refuses now is one document's error."""
    assert roll_back(moved).status is Status.ROLLED_BACK
    moved.put("uploads/late.pdf", b"late", bucket=moved.home())
    moved.row("late", "uploads/late.pdf", bucket=moved.home())
    trigger(moved, "documents", "RAISE EXCEPTION 'documents are kept';")
    report = roll_back(moved)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("late", ROW_REFUSED)]
