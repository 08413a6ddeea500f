"""`rehouse plan`: totals first, then problems by kind, then tenants; `--save`, and `--plan` of what migrates."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room

from rehouse.cli.main import main


@pytest.fixture
def saved(room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The file of a plan of acme, which has two documents, and globex, which has one and one that is lost."""
    room.tenant("globex")
    room.documents("c", slug="globex")
    room.row("lost", "k/lost", slug="globex")
    path = tmp_path / "my plan.json"
    run_text(capsys, "plan", "--save", str(path), status=3)
    return str(path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_totals_come_first_then_problems_then_tenants(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        room.row(f"lost-{number}", f"k/lost-{number}")
    room.row("strange", "k/a", bucket="another-bucket")
    room.row("elsewhere", None)
    room.sql("INSERT INTO tenants (name, slug, is_active) VALUES ('Hooli', 'hooli', false)")
    lines = run_text(capsys, "plan", status=3).splitlines()
    assert lines[:3] == [
        "Tenants    2, 1 of them inactive: `migrate-all` does not move these",
        "Documents  16: 2 to copy, 13 would stay behind, 1 without a key",
        "Bytes      2 B to copy",
    ]
    assert lines[3].startswith("Cost       about $0.00 for requests; until the sources are removed, $0.00 a month")
    assert lines[4] == ("Time       at least 0:00:01 for the copies, at 3,500 a second (what S3 allows for a prefix)")
    first, second = (
        lines.index("missing_object: 12 documents would stay behind"),
        lines.index("unknown_bucket: 1 document would stay behind"),
    )
    assert lines[first + 2] == f"  acme  lost-0  there is no object 'k/lost-0' in {room.shared}"
    assert lines[first + 12] == "  … and 2 more (--output json lists them all)"
    assert second == first + 14
    assert lines[second + 2].startswith("  acme  strange  another-bucket/k/a: the bucket another-bucket is neither")
    assert next(number for number, line in enumerate(lines) if line.startswith("tenant ")) > second
    assert lines[-3:] == ["Nothing was changed.", "", "Next: rehouse migrate acme --until verified"]
    assert f"  lost-0  there is no object 'k/lost-0' in {room.shared}" in run_text(capsys, "plan", "acme", status=3)


def test_the_time_names_its_assumption(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHOUSE_MAX_RATE", "0.5")
    monkeypatch.setenv("REHOUSE_VERSIONING_SETTLE_SECONDS", "900")
    assert room.shared
    assert (
        "Time       at least 0:00:04 for the copies, at 0.5 a second (max_rate); at least 15 minutes with new buckets: "
        "rehouse switches a tenant only when its bucket's versioning has settled" in run_text(capsys, "plan")
    )


def test_nothing_to_copy_takes_no_time(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    assert room.shared
    run_text(capsys, "migrate", "acme")
    printed = run_text(capsys, "plan")
    assert "Documents  2: 0 to copy, 2 moved before" in printed
    assert "Time       none: there is nothing to copy" in printed
    assert "Next" not in printed


def test_json_has_the_sums_and_the_kinds(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.row("lost", "k/lost")
    made = run_json(capsys, "plan", status=3)
    assert (made["totals"]["documents_total"], made["totals"]["to_copy"], made["totals"]["to_copy_bytes"]) == (3, 2, 2)
    [problem] = made["problems"]
    assert (problem["code"], problem["documents_affected"], problem["tenants_affected"]) == ("missing_object", 1, 1)
    assert problem["examples"][0]["document_id"] == "lost"


def test_a_saved_plan_has_no_document_and_no_secret(room: Room, saved: str) -> None:
    text = Path(saved).read_text()
    assert stat.S_IMODE(Path(saved).stat().st_mode) == 0o600
    assert [word for word in ("lost", "k/", room.url, "password") if word in text] == []
    made = json.loads(text)
    assert [each["slug"] for each in made["tenants"]] == ["acme", "globex"]
    assert made["tenants"][1]["problems"] == {"missing_object": 1}
    assert made["shared_buckets"] == [room.shared]
    assert made["database"]["system_identifier"].isdigit()
    assert made["settings"]["endpoint_url"] == room.settings.endpoint_url


def test_a_migration_goes_by_its_plan(room: Room, saved: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"Next: rehouse migrate acme --until verified --plan '{saved}'" in run_text(
        capsys, "plan", "--save", saved, status=3
    )
    run_text(capsys, "migrate", "globex", "--plan", saved, status=3)
    run_text(capsys, "migrate-all", "--plan", saved, "--dry-run", status=3)
    run_text(capsys, "migrate-all", "--plan", saved, status=3)
    assert room.body("a") == b"a" and room.body("c") == b"c"


def test_what_the_plan_lacks_is_refused_all_at_once(
    room: Room, saved: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.tenant("initech")
    room.row("strange", "k/a", bucket="another-bucket")
    room.sql("UPDATE tenants SET aws_bucket_name = 'own' WHERE slug = 'globex'")
    monkeypatch.setenv("REHOUSE_ENCRYPTION", "alias/documents")
    for arguments in (("migrate-all",), ("migrate-all", "--dry-run")):
        said = refused(capsys, *arguments, "--plan", saved)
        for words in (
            f"the plan in {saved} differs from what would be done now",
            "the setting encryption was AES256 and is now alias/documents",
            "tenants that are not in the plan: initech",
            f"tenants with another bucket: globex ({room.settings.bucket_prefix}-globex-xxxxxxxx, now own)",
            "problems that are not in the plan: unknown_bucket (1 document)",
            f"`rehouse plan --save '{saved}'`",
        ):
            assert words in said
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)], "to be refused it made tables"
    monkeypatch.delenv("REHOUSE_ENCRYPTION")
    run_text(capsys, "migrate", "acme", "--plan", saved, "--until", "planned", status=2)
    room.sql("DELETE FROM documents WHERE id = 'strange'")
    run_text(capsys, "migrate", "acme", "--plan", saved)


def test_the_plan_of_another_database_is_refused(
    room: Room, saved: str, capsys: pytest.CaptureFixture[str], empty_bucket_and_database: None
) -> None:
    said = refused(capsys, "migrate-all", "--plan", saved)
    assert f"the plan is for the database {room.connection.info.dbname} (cluster" in said
    assert "tenants that are not in the plan" not in said


@pytest.fixture
def empty_bucket_and_database(room: Room, saved: str, new_database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment points to another database, with a tenant in it."""
    assert saved
    monkeypatch.setenv("DATABASE_URL", new_database("integer"))


def test_a_file_that_is_no_plan_stops_both_before_anything(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert room.shared
    notes = tmp_path / "notes"
    notes.write_text("my notes")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    assert "is not a plan of rehouse: it is not overwritten" in refused(capsys, "plan", "--save", str(notes))
    for arguments in (("migrate-all",), ("migrate", "acme"), ("migrate-all", "--dry-run")):
        assert "it is not a plan of rehouse" in refused(capsys, *arguments, "--plan", str(notes))
    assert notes.read_text() == "my notes"
