"""What a command publishes on PostgreSQL: alive while its session is, updated in place, and gone after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from pydantic import SecretStr

from rehouse.config import Settings
from rehouse.core.errors import DatabaseRefused, RehouseError
from rehouse.core.watching import Counts
from rehouse.ledger import progress
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.progress import NotPublished, Publication, read_published, require_table
from rehouse.operations.init import initialise

ONE, TWO = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
WHOLE = Counts("", tenants_done=0, tenants=2, documents=3, documents_total=9, documents_failed=1, bytes_copied=7)
ACME = Counts("acme", "copy", documents=3, documents_total=9)


@pytest.fixture
def settings(application_database: str) -> Settings:
    made = Settings(database_url=SecretStr(application_database), shared_bucket=("shared",))
    initialise(made)
    return made


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    opened = Ledger.open(settings, writes=False)
    yield opened
    opened.close()


def begin(settings: Settings, ledger: Ledger, run_id: str = ONE) -> Publication:
    return Publication.open(settings, ledger.catalog, run_id=run_id, command="migrate")


def statement_of(hint: str) -> str:
    """The statement that a hint ends with, to be copied."""
    return hint[hint.index("GRANT ") :]


def run(settings: Settings, *statements: str) -> list[tuple[object, ...]]:
    with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def await_true(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_what_is_published_is_read_and_gone_at_the_end(settings: Settings, ledger: Ledger) -> None:
    publication = begin(settings, ledger)
    assert read_published(ledger) == []
    publication.put([WHOLE, ACME], [], elapsed=60.0)
    whole, acme = read_published(ledger)
    assert (whole.counts, acme.counts) == (WHOLE, ACME)
    assert (whole.run_id, whole.command, whole.is_held, acme.is_held) == (ONE, "migrate", True, True)
    assert 60 <= whole.elapsed < 120
    assert whole.age < 30
    publication.put([], ["acme"], elapsed=61.0)
    assert [each.counts.subject for each in read_published(ledger)] == [""]
    publication.close()
    assert read_published(ledger) == []


def test_a_row_is_updated_in_place(settings: Settings, ledger: Ledger) -> None:
    publication = begin(settings, ledger)
    for documents in range(200):
        publication.put([Counts("acme", "copy", documents=documents)], [], elapsed=1.0)
    publication.close()
    [(size, index)] = run(
        settings, "SELECT pg_relation_size('s3_migration_progress'), pg_relation_size('s3_migration_progress_pkey')"
    )
    assert (size, index) == (8192, 16384), "one page of rows, and an index that is as small as an index can be"


def test_a_killed_command_is_not_held_and_the_next_clears_it(settings: Settings, ledger: Ledger) -> None:
    dead, alive = begin(settings, ledger), begin(settings, ledger, TWO)
    dead.put([WHOLE, ACME], [], elapsed=1.0)
    alive.put([WHOLE], [], elapsed=1.0)
    dead.give_up()
    await_true(lambda: not read_published(ledger)[0].is_held)
    assert {each.run_id: each.is_held for each in read_published(ledger)} == {ONE: False, TWO: True}
    third = begin(settings, ledger, "33333333-3333-3333-3333-333333333333")
    assert {each.run_id for each in read_published(ledger)} == {TWO}
    alive.close()
    third.close()


def test_a_lock_that_a_lost_session_held_is_taken_later(settings: Settings, ledger: Ledger) -> None:
    lost = begin(settings, ledger)
    again = begin(settings, ledger)
    lost.give_up()

    def is_held_again() -> bool:
        again.put([WHOLE], [], elapsed=1.0)
        return again.is_held

    await_true(is_held_again)
    assert [each.is_held for each in read_published(ledger)] == [True]
    again.close()


def test_a_table_in_use_is_not_waited_for(settings: Settings, ledger: Ledger) -> None:
    publication = begin(settings, ledger)
    with psycopg.connect(settings.require_database_url()) as other:
        other.execute("LOCK TABLE s3_migration_progress IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(RehouseError):
            publication.put([WHOLE], [], elapsed=1.0)
    publication.close()


def test_a_role_without_rights_publishes_nothing(settings: Settings, ledger: Ledger) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(settings.require_database_url())
    name = f"reader_of_{parts['dbname']}"
    run(settings, f"CREATE ROLE {name} LOGIN PASSWORD 'x'", f"GRANT SELECT ON s3_migration_progress TO {name}")
    url = f"postgresql://{name}:x@{parts['host']}:{parts['port']}/{parts['dbname']}"
    reading = settings.model_copy(update={"database_url": SecretStr(url)})
    with pytest.raises(NotPublished, match="may not write s3_migration_progress") as refused:
        begin(reading, ledger)
    run(settings, statement_of(refused.value.hint))
    begin(reading, ledger).close()


def test_who_cannot_watch_is_told_the_way_out(application_database: str) -> None:
    settings = Settings(database_url=SecretStr(application_database), shared_bucket=("shared",))
    ledger = Ledger.open(settings, writes=False)
    with pytest.raises(DatabaseRefused, match="there is no ledger") as refused:
        require_table(ledger)
    assert "rehouse init" in refused.value.hint
    ledger.close()
    initialise(settings)
    run(settings, "DROP TABLE s3_migration_progress")
    ledger = Ledger.open(settings, writes=False)
    with pytest.raises(DatabaseRefused, match="no table s3_migration_progress") as refused:
        require_table(ledger)
    assert "rehouse init" in refused.value.hint
    with pytest.raises(NotPublished, match="no table s3_migration_progress"):
        begin(settings, ledger)
    ledger.close()
    initialise(settings)
    ledger = Ledger.open(settings, writes=False)
    require_table(ledger)
    ledger.close()


def test_a_role_that_may_not_read_is_told_what_it_lacks(settings: Settings) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(settings.require_database_url())
    name = f"blind-{parts['dbname']}"
    grants = (f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'x'", f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{name}"')
    run(settings, *grants, f'REVOKE SELECT ON s3_migration_progress FROM "{name}"')
    url = f"postgresql://{name}:x@{parts['host']}:{parts['port']}/{parts['dbname']}"
    blind = Ledger.open(settings.model_copy(update={"database_url": SecretStr(url)}), writes=False)
    with pytest.raises(DatabaseRefused, match=r"may not read .*s3_migration_progress") as refused:
        require_table(blind)
    run(settings, statement_of(refused.value.hint))
    require_table(blind)
    blind.close()


def test_the_history_is_read_newest_first(settings: Settings, ledger: Ledger) -> None:
    run(settings, *(f"INSERT INTO s3_migration_events (event) VALUES ('e{number}')" for number in range(5)))
    assert [each.event for each in progress.latest_events(ledger, 2)] == ["e4", "e3"]
