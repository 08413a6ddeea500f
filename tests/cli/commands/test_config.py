"""`rehouse config`: masks secrets and names the source of every setting."""

from __future__ import annotations

import os

import pytest
from tests.support.command_line import SECRET
from tests.support.envelope import result_of

from rehouse.cli.main import main


def test_secrets_are_masked_and_every_setting_has_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:{SECRET}@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert main(["config"]) == 0
    told = capsys.readouterr().out
    assert SECRET not in told
    line = next(line for line in told.splitlines() if line.startswith("database_url"))
    assert line.split() == ["database_url", "********", "DATABASE_URL"]
    assert main(["config", "--output", "json"]) == 0
    found = capsys.readouterr().out
    assert SECRET not in found
    assert result_of(found)["settings"]["bucket_prefix"] == {"value": "dataroom-saas", "from": "default"}


def test_changed_shows_only_what_is_set(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith(("REHOUSE_", "AWS_")) or variable == "DATABASE_URL":
            monkeypatch.delenv(variable)
    assert main(["config", "--changed"]) == 0
    assert capsys.readouterr().out.startswith("Every setting has its default.\n")
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "9")
    assert main(["config", "--changed"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split() for line in told[:2]] == [
        ["setting", "value", "from"],
        ["grace_days", "9.0", "REHOUSE_GRACE_DAYS"],
    ]
    assert main(["config", "--changed", "--output", "json"]) == 0
    assert list(result_of(capsys.readouterr().out)["settings"]) == ["grace_days"]
