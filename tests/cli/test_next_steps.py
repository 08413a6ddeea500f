"""Whoever does what each command ends with comes from the plan to the end, and nothing is said after a failure."""

from __future__ import annotations

import shlex

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room

from rehouse.cli.main import main
from rehouse.cli.output import SHOWN

ASKED = {"finish", "cleanup", "uninstall"}


def next_of(printed: str) -> str | None:
    """The command that the text ends with."""
    *_, last = printed.splitlines()
    return last.removeprefix("Next: ") if last.startswith("Next: ") else None


def follow(capsys: pytest.CaptureFixture[str], command: str) -> list[str]:
    """Run a command, then what it ends with, and so on; return the commands."""
    commands: list[str] = []
    following: str | None = command
    while following and len(commands) < 20:
        commands.append(following.removeprefix("rehouse "))
        words = shlex.split(commands[-1])
        confirmed = ["--yes"] if words[0] in ASKED and "--dry-run" not in words and words != ["cleanup"] else []
        following = next_of(run_text(capsys, *words, *confirmed))
    return commands


def test_the_steps_lead_from_the_plan_to_the_end(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "0")
    assert follow(capsys, "plan") == [
        "plan",
        "migrate acme",
        "verify acme --deep",
        "finish acme --dry-run",
        "finish acme",
        "cleanup",
        f"cleanup --drop-bucket {room.shared}",
        "uninstall --dry-run",
        "uninstall",
    ]


def test_several_tenants_come_to_the_end_as_well(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "0")
    room.tenant("globex")
    room.documents("c", slug="globex")
    assert follow(capsys, "status") == [
        "status",
        "plan",
        "migrate globex --until verified",
        "cutover globex",
        "verify globex --deep",
        "finish globex --dry-run",
        "finish globex",
        "cleanup",
        "status",
        "migrate acme",
        "verify acme --deep",
        "finish acme --dry-run",
        "finish acme",
        "cleanup",
        f"cleanup --drop-bucket {room.shared}",
        "uninstall --dry-run",
        "uninstall",
    ]


def test_what_is_done_for_all_leads_to_all(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "0")
    room.tenant("globex")
    room.documents("c", slug="globex")
    assert follow(capsys, "migrate-all")[:5] == [
        "migrate-all",
        "verify-all --deep",
        "finish --all --dry-run",
        "finish --all",
        "cleanup",
    ]


def test_what_stays_behind_is_the_next_step(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.row("lost", "k/lost")
    migrated = run_text(capsys, "migrate", "acme", status=3)
    assert next_of(run_text(capsys, "verify", "acme", status=3)) == "rehouse status acme --errors"
    assert next_of(run_text(capsys, "status")) == "rehouse status acme --errors"
    looked = (
        run_text(capsys, *words)
        for words in (("status", "acme"), ("status", "acme", "--errors"), ("status", "--errors"))
    )
    for printed in (migrated, *looked):
        assert next_of(printed) == "rehouse migrate acme --only-failed"
        assert "First correct these documents as the hints say, or accept them. Then:\nNext: " in printed
    assert "Next" not in run_text(capsys, "status", "acme", "--errors", "--output", "csv")
    accepted = run_text(capsys, "accept", "acme", "lost", "--reason", "lost long ago")
    assert next_of(accepted) == "rehouse verify acme --deep"


def test_more_errors_than_are_printed_lead_to_all(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.tenant("globex")
    room.row("lost", "k/lost")
    for number in range(SHOWN + 1):
        room.row(f"gone-{number}", f"k/gone-{number}", slug="globex")
    assert next_of(run_text(capsys, "migrate-all", status=3)) == "rehouse status globex --errors"
    assert next_of(run_text(capsys, "status")) == "rehouse status globex --errors"
    assert next_of(run_text(capsys, "status", "globex")) == "rehouse status globex --errors"


def test_what_is_only_to_be_verified_is_not_switched(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.row("lost", "k/lost")
    printed = run_text(capsys, "migrate", "acme", "--until", "verified", status=3)
    assert next_of(printed) == "rehouse migrate acme --only-failed --until verified"
    room.put("k/lost")
    assert (
        next_of(run_text(capsys, "migrate", "acme", "--only-failed", "--until", "verified")) == "rehouse cutover acme"
    )
    assert room.pointer("lost")[0] != room.home()


def test_a_dry_run_ends_with_the_command_itself(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_text(capsys, "migrate", "acme")
    assert next_of(run_text(capsys, "finish", "acme", "--dry-run")) is None
    dry = run_text(capsys, "finish", "acme", "--after", "0", "--check-all", "--dry-run")
    assert next_of(dry) == "rehouse finish acme --after 0 --check-all"
    assert next_of(run_text(capsys, "rollback", "acme", "--dry-run")) == "rehouse rollback acme"
    back = run_text(capsys, "rollback", "acme")
    assert next_of(back) is None
    assert f"note: the bucket {room.home()} is kept: run `rehouse rollback acme` again" in back
    assert "after 7 days `rehouse rollback acme --drop-bucket` removes it" in back
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "0")
    dropped = run_text(capsys, "rollback", "acme", "--drop-bucket", "--dry-run")
    assert next_of(dropped) == "rehouse rollback acme --drop-bucket"
    assert room.keys(room.shared)


def test_a_changed_setting_is_put_right_next(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    run_text(capsys, "migrate", "acme")
    assert next_of(run_text(capsys, "audit")) is None
    room.root.delete_bucket_lifecycle(Bucket=room.home())
    assert next_of(run_text(capsys, "verify", "acme", status=1)) == "rehouse audit acme --fix --dry-run"
    assert next_of(run_text(capsys, "audit", "acme", status=1)) == "rehouse audit acme --fix --dry-run"
    assert next_of(run_text(capsys, "audit", "--fix", "--dry-run", status=1)) == "rehouse audit --fix"
    assert next_of(run_text(capsys, "audit", "--fix")) is None


def test_a_failure_has_a_hint_and_no_next_step(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    run_text(capsys, "migrate", "acme")
    room.root.delete_object(Bucket=room.home(), Key=str(room.pointer("a")[1]))
    assert next_of(run_text(capsys, "verify", "acme", status=1)) is None
    capsys.readouterr()
    assert main(["migrate", "nosuch"]) == 2
    said = capsys.readouterr()
    assert "Next" not in said.out + said.err


def test_what_only_reads_or_sets_up_leads_on(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    assert room.shared
    assert next_of(run_text(capsys, "config")) == "rehouse doctor"
    assert next_of(run_text(capsys, "init")) == "rehouse plan"
    assert next_of(run_text(capsys, "init")) == "rehouse plan"
    assert "Next" not in run_text(capsys, "rules")
    capsys.readouterr()
    assert main(["iam-policy", "--role", "migrate"]) == 0
    said = capsys.readouterr()
    assert (next_of(said.err), "Next" in said.out) == ("rehouse doctor --probe", False)
    assert "Next" not in str(run_json(capsys, "status"))
    run_text(capsys, "migrate", "acme", "--until", "copied")
    assert next_of(run_text(capsys, "init")) == "rehouse status"
