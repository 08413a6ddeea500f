"""`rehouse audit`: which options go together."""

from __future__ import annotations

import pytest

from rehouse.cli.main import main


def test_a_dry_run_goes_with_fix(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--dry-run"]) == 2
    assert "Error: --dry-run needs --fix" in capsys.readouterr().err
