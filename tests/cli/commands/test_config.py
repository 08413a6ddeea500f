"""`rehouse config`: masks secrets and names the source of every setting."""

from __future__ import annotations

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
