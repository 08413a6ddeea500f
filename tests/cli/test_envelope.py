"""The envelope of `--output json`: printed once, however a command ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from tests.support.command_line import SECRET
from tests.support.data_room import Room
from tests.support.envelope import envelope_of

from rehouse.cli.main import main
from rehouse.core.errors import CODE_MEANINGS, ErrorCode, RehouseError
from rehouse.ledger.lock import Locks


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> dict[str, object]:
    assert main(list(arguments)) == status
    told = envelope_of(capsys.readouterr().out)
    assert (told["exit_status"], told["result"]) == (status, None)
    [error] = told["errors"]
    return {"command": told["command"], **error}


@pytest.mark.parametrize(
    ("arguments", "command", "message"),
    [
        (("plan", "--nonsense", "--output", "json"), "plan", "No such option: --nonsense"),
        (("stauts", "-o", "json"), None, "No such command 'stauts'. Did you mean status?"),
        (("status", "--color", "blue", "--output=json"), "status", "--color cannot be 'blue'"),
        (("rollback", "-ojson"), "rollback", "Invalid value: name one tenant, or --all"),
        (("sandbox", "--output", "json"), "sandbox", "No such option: --output"),
        (("migrate", "acme", "--code", "x", "-o", "json"), "migrate", "--code needs --only-failed"),
    ],
)
def test_wrong_usage_is_an_envelope(
    arguments: tuple[str, ...], command: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, *arguments)
    assert (told["command"], told["code"], told["subject"]) == (command, "bad_usage", "command line")
    assert told["message"] == message


@pytest.mark.parametrize("arguments", [("status", "--help", "-o", "json"), ("--version",)])
def test_help_and_version_are_no_envelope(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(list(arguments)) == 0
    assert "schema_version" not in capsys.readouterr().out


def test_a_stream_ends_with_its_envelope_as_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "acme", "--watch", "--output", "json"]) == 2
    [line] = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["type"], told["exit_status"], told["errors"][0]["code"]) == ("end", 2, "bad_usage")


def test_text_is_printed_without_an_envelope(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--nonsense"]) == 2
    assert capsys.readouterr().out == ""


def test_settings_and_tenants_are_subjects(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(capsys, "plan", "acem", "--output", "json")
    assert (told["code"], told["subject"], told["hint"]) == ("unknown_tenant", "acem", "did you mean acme?")
    monkeypatch.setenv("DATABASE_URL", f"mysql://u:{SECRET}@h/db")
    told = refused(capsys, "plan", "--output", "json")
    assert (told["code"], told["subject"]) == ("database_refused", "database_url")
    assert SECRET not in str(told)
    monkeypatch.setenv("DATABASE_URL", "")
    assert refused(capsys, "plan", "--output", "json")["code"] == "bad_settings"


REFUSALS = (
    ({}, ("cutover", "acme"), "acme"),
    ({}, ("rollback", "acme"), "acme"),
    ({}, ("finish", "acme", "--yes"), "acme"),
    ({}, ("accept", "acme", "a", "--reason", "r"), "acme"),
    ({}, ("migrate", "acme", "--only-failed"), "acme"),
    ({}, ("cleanup", "--drop-bucket", "another", "--yes"), "another"),
    ({}, ("migrate-all", "--plan", "/nowhere/plan.json"), "/nowhere/plan.json"),
    ({}, ("migrate-all", "--only", "acme", "--exclude", "acme"), "command line"),
    ({"DATABASE_URL": ""}, ("plan",), "database_url"),
    ({"REHOUSE_SHARED_BUCKET": "there-is-no-such-bucket"}, ("migrate-all",), "there-is-no-such-bucket"),
    ({"REHOUSE_LOG_BUCKET": "Not A Bucket"}, ("plan",), "log_bucket"),
    ({"REHOUSE_MAX_RATE": "fast"}, ("plan",), "max_rate"),
    ({"REHOUSE_NO_SETTING": "1"}, ("plan",), "REHOUSE_NO_SETTING"),
    ({"REHOUSE_MAPPING_TENANTS_SLUG": "short"}, ("plan",), "tenants.short"),
    ({"REHOUSE_MAPPING_DOCUMENTS_TABLE": "papers"}, ("plan",), "papers"),
)


@pytest.mark.parametrize(("variables", "arguments", "subject"), REFUSALS)
def test_the_usual_refusals_name_their_subject(
    room: Room,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: tuple[str, ...],
    subject: str,
) -> None:
    assert room.shared
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main([*arguments, "--output", "json"]) == 2
    [error] = envelope_of(capsys.readouterr().out)["errors"]
    assert error["subject"] == subject, error


def test_after_a_migration_subjects_are_named_as_well(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "acme"]) == 0
    for arguments, subject in (
        (("accept", "acme", "nosuch", "--reason", "r"), "nosuch"),
        (("rollback", "acme", "--drop-bucket", "--yes"), "acme"),
        (("cleanup", "--drop-bucket", room.shared, "--yes"), room.shared),
        (("uninstall", "--yes"), "database"),
    ):
        capsys.readouterr()
        assert main([*arguments, "--output", "json"]) == 2
        [error] = envelope_of(capsys.readouterr().out)["errors"]
        assert error["subject"] == subject, error


def test_what_must_be_confirmed_is_refused_by_its_name(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate", "acme"]) == 0
    capsys.readouterr()
    told = refused(capsys, "finish", "acme", "--output", "json")
    assert (told["code"], told["subject"]) == ("not_confirmed", "acme")


def test_runs_have_the_id_of_the_ledger(run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "acme", "--output", "json"]) == 0
    said = capsys.readouterr()
    told = envelope_of(said.out)
    assert told["run_id"]
    assert told["errors"] == []
    assert main(["verify", "acme", "--output", "json"]) == 0
    assert envelope_of(capsys.readouterr().out)["run_id"] is None


def test_a_tenant_s_error_is_among_the_errors(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init"]) == 0
    capsys.readouterr()
    with Locks(os.environ["DATABASE_URL"]) as somebody:
        somebody.acquire(1)
        assert main(["migrate-all", "--output", "json"]) == 1
        told = envelope_of(capsys.readouterr().out)
        assert [each["error_code"] for each in told["result"]["tenants"]] == ["locked", None]
        [error] = told["errors"]
        assert (error["code"], error["subject"]) == ("locked", "acme")
        assert refused(capsys, "migrate", "acme", "--output", "json", status=1)["subject"] == "acme"


def test_a_bug_is_an_envelope_and_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr("rehouse.operations.rules.rules", fail)
    with pytest.raises(ZeroDivisionError):
        main(["rules", "--output", "json"])
    told = envelope_of(capsys.readouterr().out)
    assert told["exit_status"] == 1
    assert [each["code"] for each in told["errors"]] == ["internal_error"]
    assert SECRET not in str(told)


def test_an_interrupt_is_an_envelope(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rehouse.operations.rules.rules", interrupt)
    assert refused(capsys, "rules", "--output", "json", status=130)["code"] == "interrupted"


def all_errors(base: type[RehouseError]) -> set[type[RehouseError]]:
    return {base, *(found for each in base.__subclasses__() for found in all_errors(each))}


def test_every_error_has_a_code_and_every_code_a_meaning() -> None:
    assert set(CODE_MEANINGS) == set(ErrorCode)
    assert all(each.kind in ErrorCode for each in all_errors(RehouseError) - {RehouseError})
