"""Keys that stand in columns outside the mapping hold a removal back until somebody has decided what they mean."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from tests.support.data_room import Room

from rehouse.config.sections import FinishLook
from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase
from rehouse.operations import cleanup as cleaning
from rehouse.operations import doctor as examining
from rehouse.operations import finish as finishing
from rehouse.operations.checks.pointers import CAREFUL, Look, Mention
from rehouse.operations.finish import FinishReport

NOW = timedelta(0)
CARELESS = Look(accept_unchecked=True)


@pytest.fixture
def moved(room: Room) -> Room:
    """A room whose documents a, b and `c d` were moved."""
    room.documents("a", "b", "c d")
    room.migrate()
    return room


def finish(room: Room, *, dry_run: bool = False, look: Look = CAREFUL, **more: Any) -> FinishReport:
    with room.services(writes=not dry_run, **more) as services:
        return finishing.finish_one(services, services.ledger.tenant("acme"), grace=NOW, dry_run=dry_run, look=look)


def mentions(report: FinishReport) -> list[tuple[str, int]]:
    return [tuple(each) for each in report.pointers]


TYPES = {
    "text": "k/a",
    "varchar(50)": "https://cdn.example.com/k/a?v=1",
    "char(30)": "x k/a",
    "text[]": "{k/b,k/a}",
    "varchar(40)[]": "{k/a}",
    "json": '{"key": "k\\/a"}',
    "jsonb": '{"keys": ["k/a"]}',
    "key_domain": "k/a",
    "key_domain[]": "{k/a}",
    "pair": "(k/a,1)",
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_key_in_a_column_of_any_type_blocks_the_removal(moved: Room, kind: str) -> None:
    moved.sql("CREATE SCHEMA app")
    moved.sql("CREATE DOMAIN key_domain AS varchar(100)")
    moved.sql("CREATE TYPE pair AS (key text, number integer)")
    moved.sql(f"CREATE TABLE app.thumbnails (id integer, source {kind})")
    moved.sql("INSERT INTO app.thumbnails VALUES (1, %s), (2, NULL)", TYPES[kind])
    report = finish(moved)
    assert (mentions(report), report.held_back, report.sources_removed, report.errors) == (
        [("app.thumbnails.source", 1)], True, 0, 1,
    )  # fmt: skip
    assert report.phase is Phase.CUT_OVER
    assert len(moved.keys(moved.shared)) == 3


def test_keys_that_the_sweep_just_moved_are_looked_for_too(moved: Room) -> None:
    """With --all the database is looked through before the sweeps; what they move may go at once if there is no grace."""
    moved.documents("new")
    moved.sql("CREATE TABLE links (url text)")
    moved.sql("INSERT INTO links VALUES ('k/new')")
    with moved.services() as services:
        tenants = services.ledger.tenants()
        (report,) = finishing.finish_all(services, tenants, grace=NOW)
    assert (mentions(report), report.held_back, report.sources_removed, report.this_run) == (
        [("public.links.url", 1)], True, 0, 1,
    )  # fmt: skip
    assert len(moved.keys(moved.shared)) == 4


def test_encoded_keys_are_found_and_a_longer_key_is_another_one(moved: Room) -> None:
    moved.sql("CREATE TABLE links (url text)")
    moved.sql("INSERT INTO links VALUES ('https://x/k/c%20d'), ('https%3A%2F%2Fx%2Fk%2Fc%2520d'), ('k/c+d'), ('k/ab')")
    assert mentions(finish(moved)) == [("public.links.url", 3)]


def test_other_columns_of_documents_count_as_pointers(moved: Room) -> None:
    moved.row("copy", "k/elsewhere", cloudinary_url=f"https://{moved.shared}.s3.amazonaws.com/k/a")
    moved.put("k/elsewhere")
    assert mentions(finish(moved)) == [("public.documents.cloudinary_url", 1)]


def test_without_any_the_removal_goes_on(moved: Room) -> None:
    moved.sql("CREATE TABLE audit (line text)")
    moved.sql("INSERT INTO audit VALUES ('k/z'), ('a'), ('k'), (NULL)")
    report = finish(moved)
    assert (report.pointers, report.unchecked, report.sources_removed, report.phase) == ([], [], 3, Phase.FINISHED)


def test_a_column_that_is_to_be_ignored_is(moved: Room) -> None:
    moved.sql("CREATE TABLE audit (line text)")
    moved.sql("INSERT INTO audit VALUES ('k/a was read')")
    report = finish(moved, dry_run=True)
    assert (mentions(report), report.errors, report.sources_removed) == ([("public.audit.line", 1)], 1, 0)
    report = finish(moved, finish=FinishLook(ignore_columns=("public.audit.line",)))
    assert (report.pointers, report.sources_removed) == ([], 3)


def test_a_column_to_be_ignored_that_does_not_exist_is_refused(moved: Room) -> None:
    moved.sql("CREATE TABLE audit (line text)")
    with pytest.raises(Refused, match=r"public\.audit\.lines") as caught:
        finish(moved, finish=FinishLook(ignore_columns=("public.audit.lines",)))
    assert "public.audit.line?" in caught.value.hint
    assert len(moved.keys(moved.shared)) == 3


def test_partitions_and_inheriting_tables_are_read_once(moved: Room) -> None:
    moved.sql("CREATE TABLE log (at date, line text) PARTITION BY RANGE (at)")
    moved.sql("CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')")
    moved.sql("INSERT INTO log VALUES ('2026-01-05', 'k/a')")
    moved.sql("CREATE TABLE old (line text)")
    moved.sql("CREATE TABLE older (note text) INHERITS (old)")
    moved.sql("INSERT INTO older VALUES ('k/a', 'k/b')")
    moved.sql("CREATE VIEW shown AS SELECT * FROM log")
    assert mentions(finish(moved)) == [("public.log.line", 1), ("public.older.line", 1), ("public.older.note", 1)]


def test_a_column_that_may_not_be_read_is_never_fine(moved: Room) -> None:
    moved.sql("CREATE TABLE secret (line text, other text)")
    moved.sql("INSERT INTO secret VALUES ('k/a', '-')")
    role = f"poor_{moved.settings.bucket_prefix}"
    moved.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    try:
        report = as_role(moved, role)
        granted = f"GRANT SELECT ON public.secret TO {role};"
        assert [tuple(each) for each in report.unchecked] == [
            (f"public.secret.{column}", f"this role may not read it: {granted}") for column in ("line", "other")
        ]
        assert (report.held_back, report.sources_removed, report.errors) == (True, 0, 1)
        report = as_role(moved, role, look=CARELESS)
        assert (report.held_back, report.sources_removed) == (False, 3)
        history = moved.sql("SELECT reason FROM s3_migration_events WHERE event = 'sources_released'")
        assert "public.secret.line" in history[0][0]
    finally:
        moved.sql(f"DROP OWNED BY {role}")
        moved.sql(f"DROP ROLE {role}")


def as_role(room: Room, role: str, **more: Any) -> FinishReport:
    """Finish as a role that has every right but those on the table `secret`."""
    room.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON SCHEMA public TO {role};")
    room.sql(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}; REVOKE ALL ON secret FROM {role}")
    parts = psycopg.conninfo.conninfo_to_dict(room.url)
    url = f"postgresql://{role}:x@{parts['host']}:{parts['port']}/{parts['dbname']}"
    return finish(room, database_url=SecretStr(url), **more)


def test_a_table_that_is_locked_is_never_fine(moved: Room) -> None:
    moved.sql("CREATE TABLE busy (line text)")
    with psycopg.connect(moved.url) as other:
        other.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
        report = finish(moved)
        assert [each.column for each in report.unchecked] == ["public.busy.line"]
        assert report.held_back
        other.rollback()
    assert finish(moved).sources_removed == 3


def test_a_table_that_takes_too_long_is_never_fine(moved: Room) -> None:
    moved.sql("CREATE TYPE slow AS (line text)")
    moved.sql(
        "CREATE FUNCTION told_slowly(slow) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(600); RETURN ($1).line; END $$"
    )
    moved.sql("CREATE CAST (slow AS text) WITH FUNCTION told_slowly(slow)")
    moved.sql("CREATE TABLE heap (line slow); INSERT INTO heap VALUES (ROW('k/z'))")
    report = finish(moved, finish=FinishLook(table_seconds=1))
    assert [tuple(each) for each in report.unchecked] == [("public.heap.line", "it was not read within 1 second")]
    assert (report.held_back, report.sources_removed) == (True, 0)


def test_of_a_large_table_a_sample_is_read_and_that_is_told(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    moved.sql("CREATE TABLE large (line text)")
    moved.sql("INSERT INTO large SELECT repeat('y', 1500) FROM generate_series(1, 2000)")
    moved.sql("INSERT INTO large SELECT 'k/a' FROM generate_series(1, 2000)")
    chosen = FinishLook(table_mb=1)
    report = finish(moved, finish=chosen, dry_run=True)
    assert report.in_part[0].startswith("public.large.line (")
    assert report.unchecked[0].column == "public.large.line"
    assert report.unchecked[0].message.startswith("only ")
    complete = finish(moved, finish=chosen, look=Look(check_all=True))
    assert (mentions(complete), complete.unchecked, complete.in_part) == ([("public.large.line", 2000)], [], [])


def test_tenants_are_looked_for_at_once_and_blocked_singly(moved: Room) -> None:
    moved.tenant("globex")
    moved.documents("g", slug="globex")
    moved.migrate("globex")
    moved.sql("CREATE TABLE audit (line text)")
    moved.sql("INSERT INTO audit VALUES ('k/g')")
    told = []
    with moved.services() as services:
        services.report = lambda event: told.append(event) if event.step == "look for keys" else None
        made = finishing.finish_all(services, services.ledger.tenants(), grace=NOW)
    assert {each.slug: (each.sources_removed, each.held_back) for each in made} == {
        "acme": (3, False),
        "globex": (0, True),
    }
    assert {each.subject for each in told} == {"all tenants"}
    assert told[-1].documents == told[-1].documents_total


def test_doctor_looks_for_pointers_alone(room: Room) -> None:
    room.documents("a", "b")
    room.sql("CREATE TABLE audit (line text)")
    checks = list(examining.find_pointers(room.settings))
    assert [each.outcome for each in checks] == ["ok"]
    assert "2 keys searched for" in checks[0].message
    room.sql("INSERT INTO audit VALUES ('k/a'), ('k/b')")
    found = list(examining.find_pointers(room.settings))
    assert [(each.subject, each.outcome) for each in found] == [
        ("pointers: public.audit.line", "failed"),
        ("pointers", "ok"),
    ]
    assert "2 rows hold keys of documents" in found[0].message
    room.sql("DELETE FROM audit WHERE line = 'k/b'")
    assert "1 row holds a key of documents" in next(iter(examining.find_pointers(room.settings))).message
    assert "finish.ignore_columns" in found[0].hint
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)]


def test_cleanup_looks_before_it_calls_an_object_an_orphan(moved: Room) -> None:
    moved.put("thumbnails/1", b"12")
    moved.put("stray", b"123")
    moved.sql("CREATE TABLE pictures (key text)")
    moved.sql("INSERT INTO pictures VALUES ('thumbnails/1')")
    with moved.services(writes=False) as services:
        (left,) = cleaning.cleanup(services)
    kinds = {each.category: (each.objects, each.size, each.examples) for each in left.left}
    assert kinds["named_elsewhere"] == (1, 2, ("thumbnails/1",))
    assert kinds["orphan"] == (1, 3, ("stray",))
    assert left.pointers == [Mention("public.pictures.key", 1)]
    assert (left.unchecked, left.not_looked_for) == ([], 0)
