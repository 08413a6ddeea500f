"""A database restored from an old dump: every document is readable again, or is named as one that is not, and nothing is lost."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.ceph import NO_POLICIES
from tests.support.data_room import Room
from tests.support.dumps import bodies_of, dump_database, restore_database
from tests.support.postgres_programs import BINARIES

PAGE = Path(__file__).parents[2] / "docs" / "restore.md"
DOCUMENTS = 4
ROLES = ("provision", "migrate", "rollback", "finish", "log-bucket")
WITH_ETAGS = "UPDATE documents SET uploaded_at = '2024-01-01', etag = md5(split_part(s3_key, '/', 2))"
BODIES = {str(number): b"%d" % number for number in range(DOCUMENTS)}

pytestmark = pytest.mark.not_on_ceph(NO_POLICIES)


def _finish(room: Room) -> None:
    room.execute("UPDATE s3_migration_documents SET flipped_at = now() - %s", timedelta(days=8))
    assert room.json("finish", "a", "--yes")["sources_removed"] == DOCUMENTS


def _home(room: Room) -> str:
    return str(room.rows("SELECT aws_bucket_name FROM tenants")[0][0])


def _doctor(room: Room) -> tuple[str, str, str]:
    done = room.run("doctor", "--output", "json")
    [check] = [
        each for each in json.loads(done.stdout)["result"]["checks"] if each["subject"].startswith("tenants' buckets")
    ]
    return check["outcome"], check["message"], check["hint"]


@pytest.fixture
def room(new_room: Callable[..., Room]) -> Room:
    """One tenant, four documents; its rows say their objects' ETags. Nothing is migrated."""
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    room.execute(WITH_ETAGS)
    policies = room.run("iam-policy", *(word for role in ROLES for word in ("--role", role))).stdout
    room.credentials = room.server.user(f"of-{room.shared}", json.loads(policies))
    return room


def test_a_dump_older_than_the_ledger_after_finish(room: Room, tmp_path: Path) -> None:
    dump = dump_database(room, tmp_path / "old.sql")
    room.json("migrate", "a")
    home = _home(room)
    _finish(room)
    restore_database(room, dump)
    assert set(bodies_of(room).values()) == {None}

    statement = f"UPDATE tenants SET aws_bucket_name = '{home}' WHERE id = 1;"
    outcome, detail, hint = _doctor(room)
    assert (outcome, home in detail, statement in hint) == ("failed", True, True)
    planned = room.run("plan")
    assert (planned.returncode, statement in " ".join(planned.stdout.split())) == (1, True)
    assert statement in room.json("plan", status=1)["tenants"][0]["hint"]
    refused = room.run("migrate", "a")
    assert (refused.returncode, statement in " ".join(refused.stderr.split())) == (2, True)
    assert room.json("migrate-all", status=1)["error_count"] == 1
    assert room.json("audit", status=1)["findings"][0]["kind"] in {"no bucket", "unowned bucket"}
    assert [each["Name"] for each in room.server.root().list_buckets()["Buckets"] if room.prefix in each["Name"]] == [
        home
    ]

    room.execute(statement)
    assert _doctor(room)[0] == "ok"
    assert room.json("plan")["tenants"][0]["quarantined"] == []
    [report] = room.json("migrate", "a")["tenants"]
    assert (report["documents_migrated"], report["error_count"], report["status"]) == (DOCUMENTS, 0, "completed")
    assert bodies_of(room) == BODIES
    assert room.json("verify", "a")["is_well"]
    assert room.json("verify", "a", "--deep")["is_well"]
    assert room.json("finish", "a", "--yes")["error_count"] == 0
    assert bodies_of(room) == BODIES


def test_a_dump_older_than_the_ledger_before_finish(room: Room, tmp_path: Path) -> None:
    dump = dump_database(room, tmp_path / "old.sql")
    room.json("migrate", "a")
    home = _home(room)
    room.server.root().put_object(Bucket=home, Key="documents/2/x", Body=b"written since the dump")
    restore_database(room, dump)
    assert bodies_of(room) == BODIES
    assert room.run("migrate", "a").returncode == 2
    room.execute("UPDATE tenants SET aws_bucket_name = %s", home)
    [report] = room.json("migrate", "a", status=3)["tenants"]
    assert (report["documents_migrated"], report["adopted"]) == (DOCUMENTS - 1, DOCUMENTS - 1)
    [left] = report["outstanding"]
    assert (left["document_id"], left["code"]) == ("2", "target_taken")
    assert bodies_of(room) == BODIES
    there = room.server.root().get_object(Bucket=home, Key="documents/2/x")["Body"].read()
    assert there == b"written since the dump"


def test_what_nothing_proves_is_named_and_left(room: Room, tmp_path: Path) -> None:
    room.execute("UPDATE documents SET etag = NULL")
    dump = dump_database(room, tmp_path / "old.sql")
    room.json("migrate", "a")
    home = _home(room)
    _finish(room)
    restore_database(room, dump)
    room.execute("UPDATE tenants SET aws_bucket_name = %s", home)
    [tenant] = room.json("plan", status=3)["tenants"]
    assert {each["code"] for each in tenant["quarantined"]} == {"only_at_home"}
    [report] = room.json("migrate", "a", status=3)["tenants"]
    assert {each["code"] for each in report["outstanding"]} == {"only_at_home"}
    assert f"{home} holds one at 'documents/0/x'" in report["outstanding"][0]["message"]
    [hint] = {each["hint"] for each in room.json("status", "a", "--errors")["outstanding"]}
    assert "write its bucket and key into the row" in hint
    assert len(room.json("verify", "a", status=3)["tenants"][0]["problems"]) == DOCUMENTS
    statement, *_ = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    room.execute(statement)
    assert bodies_of(room) == BODIES
    assert room.json("migrate", "a")["tenants"][0]["status"] == "completed"
    assert room.json("verify", "a")["is_well"]


def test_a_dump_between_migrate_and_finish(room: Room, tmp_path: Path) -> None:
    room.json("migrate", "a")
    dump = dump_database(room, tmp_path / "old.sql")
    home = _home(room)
    _finish(room)
    room.server.root().put_object(Bucket=home, Key="uploads/new", Body=b"uploaded since the dump")
    restore_database(room, dump)
    assert bodies_of(room) == BODIES
    assert _doctor(room)[0] == "ok"
    assert room.json("status", "a")["overview"]["phase"] == "cut_over"
    assert room.json("migrate", "a")["error_count"] == 0
    [verified] = room.json("verify", "a")["tenants"]
    assert (verified["problems"], verified["extra"]) == ([], ["uploads/new"])
    assert room.json("rollback", "a", "--dry-run")["error_count"] == 0
    _finish(room)
    assert bodies_of(room) == BODIES
    assert room.json("status", "a")["overview"]["phase"] == "finished"


def test_a_dump_between_migrate_and_finish_can_go_back(room: Room, tmp_path: Path) -> None:
    room.json("migrate", "a")
    dump = dump_database(room, tmp_path / "old.sql")
    _finish(room)
    restore_database(room, dump)
    room.json("rollback", "a")
    assert bodies_of(room) == BODIES
    assert {bucket for (bucket,) in room.rows("SELECT s3_bucket FROM documents")} == {room.shared}


def test_a_dump_between_copy_and_cutover(room: Room, tmp_path: Path) -> None:
    room.json("migrate", "a", "--until", "verified")
    dump = dump_database(room, tmp_path / "old.sql")
    room.json("migrate", "a")
    _finish(room)
    restore_database(room, dump)
    assert set(bodies_of(room).values()) == {None}
    assert room.json("plan")["tenants"][0]["quarantined"] == []
    [report] = room.json("migrate", "a")["tenants"]
    assert (report["documents_migrated"], report["error_count"]) == (DOCUMENTS, 0)
    assert bodies_of(room) == BODIES
    assert room.json("verify", "a")["is_well"]


def test_only_the_applications_tables_are_old(room: Room, tmp_path: Path) -> None:
    room.execute("UPDATE documents SET etag = NULL")
    dump = dump_database(room, tmp_path / "old.sql", "--table=tenants", "--table=documents", "--data-only")
    room.json("migrate", "a")
    home = _home(room)
    _finish(room)
    room.execute("TRUNCATE documents")
    room.execute("TRUNCATE tenants CASCADE")
    subprocess.run([BINARIES / "psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}", room.url], check=True)
    statement = f"UPDATE tenants SET aws_bucket_name = '{home}' WHERE id = 1;"
    outcome, _, hint = _doctor(room)
    assert (outcome, statement in hint) == ("failed", True)
    refused = room.run("migrate", "a")
    assert (refused.returncode, "its row names no bucket" in refused.stderr) == (1, True)
    room.execute(statement)
    assert room.json("migrate", "a")["error_count"] == 0
    assert bodies_of(room) == BODIES
    assert room.json("verify", "a")["is_well"]


def test_a_source_that_comes_back_is_a_conflict(room: Room, tmp_path: Path) -> None:
    dump = dump_database(room, tmp_path / "old.sql")
    room.json("migrate", "a")
    home = _home(room)
    _finish(room)
    restore_database(room, dump)
    room.execute("UPDATE tenants SET aws_bucket_name = %s", home)
    room.json("migrate", "a")
    room.server.root().put_object(Bucket=room.shared, Key="k/0", Body=b"from a backup, older")
    [report] = room.json("migrate", "a", status=1)["tenants"]
    assert [each["code"] for each in report["outstanding"]] == ["Conflict"]
    assert bodies_of(room) == BODIES
