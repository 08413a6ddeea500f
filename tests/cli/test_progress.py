"""Progress on stderr, of each kind: what a run with a limit on its requests shows while it runs."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console
from tests.support.data_room import Room
from tests.support.envelope import lines_of_stream

from rehouse.cli import progress
from rehouse.cli.main import main
from rehouse.cli.progress import describe, draw, show_progress, sum_up
from rehouse.core.progress import BEGUN, DONE, Overall, Progress

OVERALL = Overall(1, 9, 500, 2000, 1536, 250.0, 65.0, 6.0)
AT_WORK = [Progress(f"tenant-{number}", "copy", 10 * number, 100) for number in range(9)]


def test_lines_tell_all_tenants_and_at_most_eight_at_work() -> None:
    first, *tenants = describe(OVERALL, AT_WORK)
    assert first == "1 of 9 tenants, 500 of 2,000 documents, 1.5 KiB, 250/s, 0:01:05, 0:00:06 left"
    assert tenants[0] == "  tenant-0: copy 0 of 100"
    assert tenants[8:] == ["  and 1 more"]


def test_nothing_is_left_when_all_is_done() -> None:
    done = Overall(1, 1, 10, 10, 0, 5.0, 2.0, 0.0)
    assert sum_up(done) == "1 of 1 tenant, 10 of 10 documents, 5.0/s, 0:00:02"


@pytest.mark.parametrize("width", [80, 120])
def test_bars_fit_the_terminal(width: int) -> None:
    out = io.StringIO()
    long = [
        Progress("a-very-long-slug-that-goes-on-and-on", "copy", 123_456, 1_234_567),
        Progress("b", "wait", text="x" * 200),
    ]
    Console(file=out, width=width, force_terminal=False).print(draw(OVERALL, [*AT_WORK, *long]))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 1 + progress.MOST_TENANTS + 1


def test_lines_go_on_while_nothing_happens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.05)
    with show_progress("plain") as report:
        report(Progress("", BEGUN, documents_total=2))
        report(Progress("acme", "copy", 5, 10))
        time.sleep(0.3)
        report(Progress("acme", DONE))
    told = capsys.readouterr().err
    assert told.count("0 of 2 tenants, 5 of 10 documents") >= 2
    assert "acme: copy 5 of 10" in told


def test_objects_are_json_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_OBJECTS", 0.05)
    with show_progress("json") as report:
        report(Progress("acme", "copy", 5, 10))
        time.sleep(0.2)
    told = lines_of_stream("progress-lines", capsys.readouterr().err)
    assert told
    assert {each["type"] for each in told} == {"progress"}
    assert (told[0]["documents"], told[0]["tenants_total"]) == (5, 1)
    [acme] = told[0]["at_work"]
    assert (acme["subject"], acme["documents_total"], acme["message"]) == ("acme", 10, None)


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: str, status: int) -> list[dict[str, object]]:
    """What a command prints on stderr with `--progress json`: JSON lines only."""
    capsys.readouterr()
    assert main([*arguments, "--progress", "json"]) == status
    return lines_of_stream("progress-lines", capsys.readouterr().err)


def test_with_json_progress_nothing_on_stderr_is_text(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    told = lines_of(capsys, "migrate", "acme", "--verbose", "--notify", "exit 3", status=0)
    assert {each["type"] for each in told} >= {"log", "note"}
    assert told[-1] == {"type": "note", "message": "the command of --notify ended with status 3"}
    [refused] = lines_of(capsys, "migrate", "nosuch", status=2)
    assert (refused["type"], refused["code"], refused["subject"]) == ("error", "unknown_tenant", "nosuch")
    [misused] = lines_of(capsys, "migrate", "acme", "--nonsense", status=2)
    assert (misused["type"], misused["code"], misused["hint"]) == (
        "error",
        "bad_usage",
        "`rehouse migrate --help` shows how it is used",
    )
    assert main(["migrate", "nosuch"]) == 2
    assert capsys.readouterr().err.startswith("Error: ")
    assert room.pointer("a")[0] == room.home()


def test_none_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("none") as report:
        report(Progress("acme", "copy", 5, 10))
    assert capsys.readouterr().err == ""


def test_a_slow_run_shows_how_far_it_is(
    room: Room, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch of outcomes is saved at its end only; what is told does not wait for that."""
    room.documents(*(f"d{number}" for number in range(60)))
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.5)
    assert main(["migrate", "acme", "--max-rate", "20", "--progress", "plain"]) == 0
    printed = capsys.readouterr()
    counts = [int(found) for found in re.findall(r"acme: copy (\d+) of 62", printed.err)]
    assert len(set(counts)) >= 3, printed.err
    assert counts == sorted(counts)
    assert re.search(r"^Run [0-9a-f-]{36}, 0:00:\d\d elapsed\.$", printed.out, re.MULTILINE)
    assert "-" not in "".join(re.findall(r"documents, (\S+)/s", printed.err))
