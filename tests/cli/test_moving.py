"""The commands that move documents, from the command line: cutover with a canary, only what failed, errors as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from tests.support.data_room import Room

from rehouse.cli.main import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == status
    return capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    return json.loads(said(capsys, *arguments, "--output", "json", status=status))


def test_cutover_with_a_canary(told: Room, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "cutover", "acme", status=2)
    said(capsys, "migrate", "acme", "--until", "verified")
    report = as_json(capsys, "cutover", "acme", "--canary", "1")
    assert (report["this_run"], report["tenants"][0]["phase"]) == (2, "cut_over")
    assert sum(note.startswith("canary: 1 document was read in full") for note in report["tenants"][0]["notes"]) == 2


def test_late_writes_are_counted_and_conflicts_end_with_1(told: Room, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "migrate", "acme")
    told.put("k/a", b"late")
    assert as_json(capsys, "migrate", "acme")["tenants"][0]["late_writes"] == 1
    told.put("documents/b/b.txt", b"at home", bucket=told.home())
    told.put("k/b", b"late")
    printed = said(capsys, "migrate-all", status=1)
    assert "Conflict: compare the two" in printed
    assert said(capsys, "accept", "acme", "b", "--reason", "the newer one").startswith("accepted: b")
    assert "Nothing was left to move." in said(capsys, "migrate-all")


def test_accept_after_a_rollback_tells_of_the_conflict_that_is_left(
    told: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "migrate", "acme")
    said(capsys, "rollback", "acme")
    for each in "ab":
        told.put(f"documents/{each}/{each}.txt", b"late, at home", bucket=told.home())
        told.put(f"k/{each}", b"in its place")
    said(capsys, "rollback", "acme", status=1)
    printed = said(capsys, "accept", "acme", "a", "--reason", "it is right", status=1)
    assert printed.startswith("accepted: a")
    assert "Documents returned: 2 (this run: 0), Errors: 1" in printed
    assert as_json(capsys, "accept", "acme", "b", "--reason", "it is right")["documents_returned"] == 2


def test_only_failed_needs_no_code_and_a_code_needs_it(told: Room, capsys: pytest.CaptureFixture[str]) -> None:
    told.row("lost", "k/lost", bucket=told.shared)
    said(capsys, "migrate", "acme", status=1)
    said(capsys, "migrate", "acme", "--code", "missing_object", status=2)
    told.put("k/lost", b"found")
    assert as_json(capsys, "migrate-all", "--only-failed", "--code", "missing_object")["this_run"] == 1


def test_errors_as_csv_json_and_text(told: Room, capsys: pytest.CaptureFixture[str]) -> None:
    told.row("lost", "k/lost", bucket=told.shared)
    said(capsys, "migrate", "acme", status=1)
    [row] = csv.DictReader(io.StringIO(said(capsys, "status", "acme", "--errors", "--output", "csv")))
    assert (row["document_id"], row["code"]) == ("lost", "missing_object")
    assert as_json(capsys, "status", "--errors")["errors"] == [row | {"request_id": None, "tenant_id": 1}]
    assert "hint: restore the object" in said(capsys, "status", "acme", "--errors")
    said(capsys, "status", "acme", "--output", "csv", status=2)


def test_no_cell_of_the_csv_is_a_formula(told: Room, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "k/=1")
    for number, key in enumerate(keys):
        told.row(f"lost{number}", key, bucket=told.shared)
    said(capsys, "migrate", "acme", status=1)
    rows = csv.DictReader(io.StringIO(said(capsys, "status", "--errors", "--output", "csv"), newline=""))
    assert [row["key"] for row in rows] == [f"'{key}" for key in keys[:-2]] + list(keys[-2:])
    assert [each["key"] for each in as_json(capsys, "status", "--errors")["errors"]] == list(keys)


def test_verified_says_how_to_go_on_and_a_rollback_says_the_way_out(
    told: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nothing is switched yet: rehouse cutover acme" in said(capsys, "migrate", "acme", "--until", "verified")
    assert "nothing is switched yet" not in said(capsys, "cutover", "acme")
    told.put("documents/b/b.txt", b"at home", bucket=told.home())
    told.put("k/b", b"late")
    assert "  Conflict: compare the two" in said(capsys, "rollback", "acme", status=1)
    shown = said(capsys, "status", "acme")
    assert "could not be returned:" in shown
    assert "  Conflict: compare the two" in shown
