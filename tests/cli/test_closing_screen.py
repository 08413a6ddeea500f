"""The last screen of the demo: what it says of outcomes that the demo itself does not have."""

from __future__ import annotations

import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rehouse.cli.closing_screen import Outcome, StayedBehind, closing_lines

OUTCOME: dict[str, Any] = {
    "seconds": 12.4,
    "documents": 1448,
    "documents_total": 1493,
    "documents_inactive": 30,
    "documents_without_file": 11,
    "documents_at_home": 0,
    "tenants": 7,
    "bytes_copied": 7_400_000,
    "proven": 1448,
    "shared_objects": 1484,
    "requests": Counter(copy=1449, head=2000),
    "dollars": Decimal("0.0042"),
    "stayed": (),
    "inactive": (),
}
LONG = StayedBehind("a-slug-" * 20, "d" * 255, "SomeCode", "a message of S3 " * 20)


def lines(**changed: object) -> list[str]:
    """Return the lines of the screen without colours."""
    return [line.plain for line in closing_lines(Outcome(**(OUTCOME | changed)))]


def test_what_did_not_happen_is_not_shown() -> None:
    shown = "\n".join(lines())
    assert "1,448 documents moved, 0 stayed behind." in shown
    assert "Stayed behind" not in shown
    assert "Inactive" not in shown


@pytest.mark.parametrize(("dollars", "shown"), [("0.0042", "under $0.01"), ("0.01", "$0.01"), ("12.345", "$12.34")])
def test_cents_are_shown_from_one_cent_on(dollars: str, shown: str) -> None:
    [cost] = [line for line in lines(dollars=Decimal(dollars)) if line.startswith("Cost")]
    assert cost == f"Cost           3,449 requests (1,448 copies, 1 repeated), {shown} on AWS"


def test_the_counts_add_up() -> None:
    shown = lines(stayed=[LONG] * 4)
    assert "Moved          1,448 of 1,493 documents, 7.1 MiB; 7 tenants have a bucket now" in shown
    assert "Not moved      30 of inactive tenants, 11 without a file, 4 stayed behind" in shown
    assert 1448 + 30 + 11 + 4 == 1493
    alone = lines(documents=1, documents_total=1, documents_inactive=0, documents_without_file=0, tenants=1)
    assert "Moved          1 of 1 documents, 7.1 MiB; 1 tenant has a bucket now" in alone
    assert not any(line.startswith("Not moved") for line in alone)


def test_long_names_are_shortened() -> None:
    shown = lines(stayed=[LONG, LONG], inactive=["inactive-tenant"] * 5)
    assert max(map(len, shown)) <= 80
    [reason] = [line for line in shown if line.startswith("  SomeCode: a message of S3")]
    assert "…" in reason and reason.rstrip().endswith("a message of S3")


def test_the_next_command_can_be_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("python", "rehouse"):
        (tmp_path / "bin" / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", "/usr/bin")
    assert f"Next  {tmp_path}/bin/rehouse sandbox  the same servers, for you to try" in lines()
    monkeypatch.chdir(tmp_path)
    assert "Next  bin/rehouse sandbox  the same servers, for you to try" in lines()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert "Next  rehouse sandbox  the same servers, for you to try" in lines()
    (tmp_path / "bin" / "rehouse").unlink()
    assert "Next  rehouse sandbox  the same servers, for you to try" in lines()
