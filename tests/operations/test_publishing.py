"""Publishing costs a run one statement a second at most, none while nothing changes, and never fails it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from pydantic import SecretStr
from tests.support.data_room import Room

from rehouse.core.errors import TryAgain
from rehouse.core.lifecycle import Phase, Status
from rehouse.core.progress import BEGUN, DONE, Progress
from rehouse.ledger import progress
from rehouse.ledger.connection import connect
from rehouse.operations import publishing
from rehouse.operations.counters import Counters
from rehouse.operations.migrate import migrate_all, migrate_one
from rehouse.operations.services import Services

TICK = 0.1
CUT = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'rehouse progress'"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "SECONDS_BETWEEN", TICK)
    monkeypatch.setattr(publishing, "SECONDS_AFTER_FAILURE", TICK)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that the publisher's connections are asked."""
    told: list[str] = []
    connect_with = progress.connect_with

    class Recording(psycopg.Cursor[tuple[object, ...]]):
        def execute(self, query: object, *arguments: object, **options: object) -> Recording:
            told.append(query if isinstance(query, str) else query.as_string(self))  # type: ignore[attr-defined]
            return super().execute(query, *arguments, **options)  # type: ignore[arg-type, return-value]

    def connect(*arguments: object, **options: object) -> psycopg.Connection:
        made = connect_with(*arguments, **options)  # type: ignore[arg-type]
        made.cursor_factory = Recording
        return made

    monkeypatch.setattr(progress, "connect_with", connect)
    return told


def writes(asked: list[str]) -> list[str]:
    return [each for each in asked if "INSERT INTO" in each]


def rows(room: Room) -> dict[str, int]:
    return dict(room.sql("SELECT subject, documents FROM s3_migration_progress"))


def await_rows(room: Room, wanted: Callable[[dict[str, int]], bool]) -> None:
    until = time.monotonic() + 20
    while not wanted(rows(room)):
        assert time.monotonic() < until, rows(room)
        time.sleep(0.02)


def copy(services: Services, tenants: int, documents: int) -> Counters:
    counters = Counters()
    counters(Progress("", BEGUN, documents_total=tenants))
    for number in range(tenants):
        counters(Progress(f"tenant-{number}", "copy", documents, 100))
    return counters


def test_one_statement_tells_all_and_none_while_all_waits(room: Room, asked: list[str]) -> None:
    with room.services() as services:
        counters = copy(services, 30, 5)
        with publishing.publish_progress(services, counters, "migrate-all"):
            await_rows(room, lambda found: len(found) == 31)
            assert len(writes(asked)) == 1
            time.sleep(5 * TICK)
            assert len(writes(asked)) == 1, "nothing has changed"
            counters(Progress("tenant-3", "copy", 50, 100))
            counters(Progress("tenant-4", DONE))
            await_rows(room, lambda found: found.get("tenant-3") == 50 and "tenant-4" not in found)
            assert len(writes(asked)) == 2, "new counts and what is done are told together"
            assert rows(room)[""] == 29 * 5 + 50
    assert rows(room) == {}


def test_no_more_than_a_statement_a_tick(room: Room, asked: list[str]) -> None:
    with room.services() as services:
        counters = copy(services, 3, 0)
        begun = time.monotonic()
        with publishing.publish_progress(services, counters, "migrate-all"):
            for documents in range(100):
                counters(Progress("tenant-0", "copy", documents, 100))
                time.sleep(TICK / 10)
        ticks = (time.monotonic() - begun) / TICK
    assert 2 <= len(writes(asked)) <= ticks + 1


def test_a_short_command_opens_no_connection(room: Room, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "SECONDS_BETWEEN", 30.0)
    with room.services() as services, publishing.publish_progress(services, copy(services, 1, 1), "migrate"):
        pass
    assert asked == []


def test_a_lost_session_is_logged_once_and_opened_again(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    with room.services() as services:
        counters = copy(services, 1, 1)
        with caplog.at_level(logging.WARNING), publishing.publish_progress(services, counters, "migrate"):
            for documents in (1, 2, 3):
                counters(Progress("tenant-0", "copy", documents, 100))
                await_rows(room, lambda found, wanted=documents: found.get("tenant-0") == wanted)
                assert room.sql(CUT) == [(1,)]
        assert services.locks.is_still_held(), "the run's own connections are untouched"
    assert len([each.message for each in caplog.records if "does not see" in each.message]) == 1


def test_a_command_ends_in_time_whatever_holds_the_table(room: Room) -> None:
    with room.services() as services:
        counters = copy(services, 1, 1)
        with psycopg.connect(room.url) as other:
            with publishing.publish_progress(services, counters, "migrate"):
                await_rows(room, bool)
                other.execute("LOCK TABLE s3_migration_progress IN ACCESS EXCLUSIVE MODE")
                ending = time.monotonic()
            assert time.monotonic() - ending < publishing.LONGEST_GOODBYE + 5


def test_without_the_table_a_command_runs_and_logs_it(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    room.migrate()
    room.sql("DROP TABLE s3_migration_progress")
    with room.services(writes=False) as services, caplog.at_level(logging.WARNING):  # noqa: SIM117
        with publishing.publish_progress(services, copy(services, 1, 1), "verify"):
            time.sleep(5 * TICK)
    [told] = [each.message for each in caplog.records if "does not see" in each.message]
    assert "rehouse init" in told


@pytest.fixture
def limited(room: Room) -> Iterator[Callable[[int], SecretStr]]:
    """Makes the URL of a role that owns what the room's role owns, and may have so many connections."""
    room.documents("a")
    room.migrate(until=Phase.PROVISIONED)
    name = f"limited_{room.connection.info.dbname}"

    def login(connections: int) -> SecretStr:
        room.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'x' CONNECTION LIMIT {connections}")
        room.sql(f"GRANT {room.connection.info.user} TO {name}")
        parts = psycopg.conninfo.conninfo_to_dict(room.url)
        return SecretStr(f"postgresql://{name}:x@{parts['host']}:{parts['port']}/{parts['dbname']}")

    yield login
    room.sql(f"DROP OWNED BY {name}")
    room.sql(f"DROP ROLE {name}")


def test_publishing_gives_its_place_to_the_run(
    room: Room, limited: Callable[[int], SecretStr], caplog: pytest.LogCaptureFixture
) -> None:
    with room.services(database_url=limited(3)) as services, caplog.at_level(logging.WARNING):
        counters = copy(services, 1, 1)
        with publishing.publish_progress(services, counters, "migrate-all"):
            await_rows(room, bool)
            with services.worker() as mine:
                assert mine.ledger.tenant("acme").slug == "acme"
                counters(Progress("tenant-0", "copy", 7, 100))
                time.sleep(5 * TICK)
                assert services.locks.is_still_held(), "publishing has failed several times, and the run has its places"
            await_rows(room, lambda found: found.get("tenant-0") == 7)
    assert len([each.message for each in caplog.records if "does not see" in each.message]) == 1


def test_without_a_place_nothing_is_published(
    room: Room, limited: Callable[[int], SecretStr], caplog: pytest.LogCaptureFixture
) -> None:
    with room.services(database_url=limited(2)) as services, caplog.at_level(logging.WARNING):
        with publishing.publish_progress(services, copy(services, 1, 1), "migrate"):
            time.sleep(5 * TICK)
            report = migrate_one(services, services.ledger.tenant("acme"))
        assert rows(room) == {}
    assert report.status is Status.COMPLETED
    [told] = [each.message for each in caplog.records if "does not see" in each.message]
    assert "no free connection" in told


def test_a_run_over_all_tenants_keeps_all_its_workers(
    room: Room, limited: Callable[[int], SecretStr], caplog: pytest.LogCaptureFixture
) -> None:
    """The role may have exactly the connections of the run without publishing: ledger, locks, two more workers."""
    for slug in ("globex", "initech"):
        room.tenant(slug)
        room.documents(*(f"{slug}-{number}" for number in range(3)), slug=slug)
    with room.services(database_url=limited(4)) as services, caplog.at_level(logging.WARNING):
        counters = copy(services, 1, 1)
        with publishing.publish_progress(services, counters, "migrate-all"):
            await_rows(room, bool)
            reports = migrate_all(services, services.ledger.tenants())
    assert [each.status for each in reports] == [Status.COMPLETED] * 3
    assert [each.message for each in caplog.records if "worker" in each.message] == []


def test_the_limit_of_a_role_is_not_taken_for_its_absence(room: Room, limited: Callable[[int], SecretStr]) -> None:
    url = limited(1).get_secret_value()
    with connect(url), pytest.raises(TryAgain, match="no free connection"):
        connect(url)
