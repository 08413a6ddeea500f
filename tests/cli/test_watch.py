"""`status --watch`: a screen that fits its terminal, JSON lines with a type each, and refusals with the way out."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.command_line import run_text
from tests.support.data_room import Room
from tests.support.envelope import lines_of_stream

from rehouse.cli.watch import SECONDS_IDLE, _watch_signals, draw, lines_of, print_lines
from rehouse.core.errors import TryAgain
from rehouse.core.tenant_state import TenantState
from rehouse.core.watching import EndedCommand, Life, Look, RunningCommand, TenantAtWork
from rehouse.operations.watching import HistoryEvent, Sight

NOW = datetime(2026, 11, 26, 18, 38, 29, tzinfo=UTC)
LONG = "wayne-enterprises-research-and-development-division"
TENANTS = tuple(
    TenantAtWork(f"tenant-{number}" if number else LONG, "provisioned", "copy", None, 1234, 56789, 2, 0, 38.0)
    for number in range(11)
)
WAITING = replace(TENANTS[1], subject="globex", message="S3 settles the versioning of the new bucket for 14 minutes")
RUN = RunningCommand(
    "r", "migrate-all", "host-1", Life.RUNNING, 0, 8, 12_345, 678_901, 4, 2**31, 380.0, 65.0, 1750.0, 0.4, TENANTS
)
QUIET = replace(RUN, run_id="s", command="migrate", life=Life.QUIET, quiet_seconds=42.0, at_work=(WAITING,))
KILLED = replace(RUN, run_id="k", command="finish", life=Life.KILLED, quiet_seconds=300.0)
EVENTS = tuple(
    HistoryEvent(NOW, "me", LONG if number else None, 1, "r", "all_copied", "provisioned", "copied", None)
    for number in range(50)
)
STATES = {TenantState.COMPLETED: 2, TenantState.NEEDS_ATTENTION: 1}
SIGHT = Sight(Look((RUN, QUIET), (KILLED,)), EVENTS, states=STATES, at=NOW)
IDLE = Sight(states=STATES, at=NOW)
AWAY = TryAgain("the database is starting up", hint="wait a moment")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 10), (40, 5)])
@pytest.mark.parametrize(
    "sight",
    [SIGHT, IDLE, Sight(Look((RUN,)), EVENTS, at=NOW), replace(SIGHT, away=AWAY, at=None)],
    ids=["three commands", "idle", "one command", "away"],
)
def test_the_screen_fits_the_terminal(sight: Sight, width: int, height: int) -> None:
    lines = draw(sight, width, height)
    assert len(lines) <= height
    assert max(line.cell_len for line in lines) <= width


def test_the_screen_tells_each_command_its_tenants_and_events() -> None:
    told = "\n".join(line.plain for line in draw(SIGHT, 120, 40))
    assert "3 tenants: 2 completed, 1 needs attention." in told
    assert "2 commands: 0 of 16 tenants, 24,690 of 1,357,802 documents" in told
    assert "migrate-all on host-1  0:01:05, running" in told
    assert "no change for 0:00:42" in told
    assert "finish on host-1  killed" in told
    assert "copy 1,234 of 56,789" in told
    assert "S3 settles the versioning of the new bucket for 14 minutes" in told
    assert "… and 3 more at work" in told
    assert "18:38:29" in told.rpartition("Last events")[2]


def test_a_summary_that_is_too_wide_goes_on_below() -> None:
    told = "\n".join(line.plain for line in draw(SIGHT, 80, 40))
    assert " ".join(told.split()).count("left, 8 errors") == 1
    assert not [line for line in told.splitlines() if " documents" in line and "…" in line]


def test_a_low_screen_shows_fewer_tenants_and_still_events() -> None:
    told = [line.plain for line in draw(Sight(Look((RUN,)), EVENTS, at=NOW), 80, 14)]
    assert "Last events (UTC)" in told
    assert sum("copy 1,234" in line for line in told) in range(1, 8)
    assert any("more at work" in line for line in told)


def test_lines_tell_changes_once() -> None:
    first = list(lines_of(IDLE, None))
    assert [each["type"] for each in first] == ["states", "idle"]
    assert first[0]["tenants_by_state"] == {"completed": 2, "needs_attention": 1}
    begun = Sight(Look((RUN,)), EVENTS, EVENTS[:1], STATES, NOW)
    told = list(lines_of(begun, IDLE))
    assert [each["type"] for each in told] == ["progress", "event"]
    assert (told[0]["run_id"], told[0]["documents"], told[0]["at_work"][0]["subject"]) == ("r", 12_345, LONG)
    after = {TenantState.COMPLETED: 3}
    ended = Sight(Look(ended=(EndedCommand("r", "migrate-all", "host-1", False),)), states=after, at=NOW)
    assert [each["type"] for each in lines_of(ended, begun)] == ["ended", "states", "idle"]
    assert list(lines_of(replace(IDLE, states=after), ended)) == []
    printed = "\n".join(json.dumps(each) for each in (*first, *told))
    assert [each["type"] for each in lines_of_stream("watch-lines", printed)] == [
        each["type"] for each in (*first, *told)
    ]


def test_lines_tell_when_the_database_is_away_and_back() -> None:
    away = Sight(away=AWAY)
    [told] = lines_of(away, SIGHT)
    assert (told["type"], told["message"], told["hint"]) == ("database_away", AWAY.message, AWAY.hint)
    assert list(lines_of(away, away)) == []
    back = list(lines_of(SIGHT, away))
    assert back[0]["type"] == "database_back"
    lines_of_stream("watch-lines", "\n".join(json.dumps(each) for each in (told, *back)))


def test_lines_end_when_no_command_is_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    sights = iter([IDLE, replace(IDLE, idle_seconds=SECONDS_IDLE), SIGHT])
    print_lines(sights)
    assert [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()] == ["states", "idle"]
    assert next(sights) is SIGHT


def test_what_cannot_be_watched_is_refused(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("acme",), ("--errors",), ("--output", "csv")):
        run_text(capsys, "status", "--watch", *words, status=2)
    run_text(capsys, "status", "--watch", status=2)
    room.migrate()
    room.sql("DROP TABLE s3_migration_progress")
    run_text(capsys, "status", "--watch", status=2)
    room.sql("UPDATE rehouse_schema_version SET version_num = '0001'")
    run_text(capsys, "status", "--watch", status=2)


def test_ctrl_c_while_the_event_is_locked_ends_the_watch() -> None:
    with _watch_signals() as is_over:
        with is_over._cond:  # as in the midst of its wait()
            signal.raise_signal(signal.SIGINT)
        assert is_over.wait(10)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
