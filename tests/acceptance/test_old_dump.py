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
from tests.support.command import World
from tests.support.postgres_programs import BINARIES

PAGE = Path(__file__).parents[2] / "docs" / "restore.md"
DOCUMENTS = 4
ROLES = ("provision", "migrate", "rollback", "finish", "log-bucket")
WITH_ETAGS = "UPDATE documents SET uploaded_at = '2024-01-01', etag = md5(split_part(s3_key, '/', 2))"
BODIES = {str(number): b"%d" % number for number in range(DOCUMENTS)}

pytestmark = pytest.mark.not_on_ceph(NO_POLICIES)


def _dump(world: World, file: Path, *options: str) -> Path:
    subprocess.run([BINARIES / "pg_dump", *options, f"--file={file}", world.url], check=True)
    return file


def _restore(world: World, dump: Path) -> None:
    """Replace the whole database, as one would with a new one."""
    world.execute("DROP SCHEMA public CASCADE")
    world.execute("CREATE SCHEMA public")
    subprocess.run(
        [BINARIES / "psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}", world.url],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _bodies(world: World) -> dict[str, bytes | None]:
    """Download each document as its row says; None where nothing is there."""
    root, found = world.server.root(), {}
    for document_id, bucket, key in world.rows("SELECT id, s3_bucket, s3_key FROM documents"):
        try:
            found[document_id] = root.get_object(Bucket=bucket or world.shared, Key=key)["Body"].read()
        except root.exceptions.NoSuchKey:
            found[document_id] = None
    return found


def _finish(world: World) -> None:
    world.execute("UPDATE s3_migration_documents SET flipped_at = now() - %s", timedelta(days=8))
    assert world.json("finish", "a", "--yes")["sources_removed"] == DOCUMENTS


def _home(world: World) -> str:
    return str(world.rows("SELECT aws_bucket_name FROM tenants")[0][0])


def _doctor(world: World) -> tuple[str, str, str]:
    done = world.run("doctor", "--output", "json")
    [check] = [
        each for each in json.loads(done.stdout)["result"]["checks"] if each["subject"].startswith("tenants' buckets")
    ]
    return check["outcome"], check["message"], check["hint"]


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    """One tenant, four documents; its rows say their objects' ETags. Nothing is migrated."""
    world = new_world("integer")
    world.lay_out(DOCUMENTS)
    world.execute(WITH_ETAGS)
    policies = world.run("iam-policy", *(word for role in ROLES for word in ("--role", role))).stdout
    world.keys = world.server.user(f"of-{world.shared}", json.loads(policies))
    return world


def test_a_dump_older_than_the_ledger_after_finish(world: World, tmp_path: Path) -> None:
    dump = _dump(world, tmp_path / "old.sql")
    world.json("migrate", "a")
    home = _home(world)
    _finish(world)
    _restore(world, dump)
    assert set(_bodies(world).values()) == {None}

    statement = f"UPDATE tenants SET aws_bucket_name = '{home}' WHERE id = 1;"
    outcome, detail, hint = _doctor(world)
    assert (outcome, home in detail, statement in hint) == ("failed", True, True)
    planned = world.run("plan")
    assert (planned.returncode, statement in " ".join(planned.stdout.split())) == (1, True)
    assert statement in world.json("plan", status=1)["tenants"][0]["hint"]
    refused = world.run("migrate", "a")
    assert (refused.returncode, statement in " ".join(refused.stderr.split())) == (2, True)
    assert world.json("migrate-all", status=1)["error_count"] == 1
    assert world.json("audit", status=1)["findings"][0]["kind"] in {"no bucket", "unowned bucket"}
    assert [each["Name"] for each in world.server.root().list_buckets()["Buckets"] if world.prefix in each["Name"]] == [
        home
    ]

    world.execute(statement)
    assert _doctor(world)[0] == "ok"
    assert world.json("plan")["tenants"][0]["quarantined"] == []
    [report] = world.json("migrate", "a")["tenants"]
    assert (report["documents_migrated"], report["error_count"], report["status"]) == (DOCUMENTS, 0, "completed")
    assert _bodies(world) == BODIES
    assert world.json("verify", "a")["is_well"]
    assert world.json("verify", "a", "--deep")["is_well"]
    assert world.json("finish", "a", "--yes")["error_count"] == 0
    assert _bodies(world) == BODIES


def test_a_dump_older_than_the_ledger_before_finish(world: World, tmp_path: Path) -> None:
    dump = _dump(world, tmp_path / "old.sql")
    world.json("migrate", "a")
    home = _home(world)
    world.server.root().put_object(Bucket=home, Key="documents/2/x", Body=b"written since the dump")
    _restore(world, dump)
    assert _bodies(world) == BODIES
    assert world.run("migrate", "a").returncode == 2
    world.execute("UPDATE tenants SET aws_bucket_name = %s", home)
    [report] = world.json("migrate", "a", status=3)["tenants"]
    assert (report["documents_migrated"], report["adopted"]) == (DOCUMENTS - 1, DOCUMENTS - 1)
    [left] = report["outstanding"]
    assert (left["document_id"], left["code"]) == ("2", "target_taken")
    assert _bodies(world) == BODIES
    there = world.server.root().get_object(Bucket=home, Key="documents/2/x")["Body"].read()
    assert there == b"written since the dump"


def test_what_nothing_proves_is_named_and_left(world: World, tmp_path: Path) -> None:
    world.execute("UPDATE documents SET etag = NULL")
    dump = _dump(world, tmp_path / "old.sql")
    world.json("migrate", "a")
    home = _home(world)
    _finish(world)
    _restore(world, dump)
    world.execute("UPDATE tenants SET aws_bucket_name = %s", home)
    [tenant] = world.json("plan", status=3)["tenants"]
    assert {each["code"] for each in tenant["quarantined"]} == {"only_at_home"}
    [report] = world.json("migrate", "a", status=3)["tenants"]
    assert {each["code"] for each in report["outstanding"]} == {"only_at_home"}
    assert f"{home} holds one at 'documents/0/x'" in report["outstanding"][0]["message"]
    [hint] = {each["hint"] for each in world.json("status", "a", "--errors")["outstanding"]}
    assert "write its bucket and key into the row" in hint
    assert len(world.json("verify", "a", status=3)["tenants"][0]["problems"]) == DOCUMENTS
    [statement] = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    world.execute(statement)
    assert _bodies(world) == BODIES
    assert world.json("migrate", "a")["tenants"][0]["status"] == "completed"
    assert world.json("verify", "a")["is_well"]


def test_a_dump_between_migrate_and_finish(world: World, tmp_path: Path) -> None:
    world.json("migrate", "a")
    dump = _dump(world, tmp_path / "old.sql")
    home = _home(world)
    _finish(world)
    world.server.root().put_object(Bucket=home, Key="uploads/new", Body=b"uploaded since the dump")
    _restore(world, dump)
    assert _bodies(world) == BODIES
    assert _doctor(world)[0] == "ok"
    assert world.json("status", "a")["overview"]["phase"] == "cut_over"
    assert world.json("migrate", "a")["error_count"] == 0
    [verified] = world.json("verify", "a")["tenants"]
    assert (verified["problems"], verified["extra"]) == ([], ["uploads/new"])
    assert world.json("rollback", "a", "--dry-run")["error_count"] == 0
    _finish(world)
    assert _bodies(world) == BODIES
    assert world.json("status", "a")["overview"]["phase"] == "finished"


def test_a_dump_between_migrate_and_finish_can_go_back(world: World, tmp_path: Path) -> None:
    world.json("migrate", "a")
    dump = _dump(world, tmp_path / "old.sql")
    _finish(world)
    _restore(world, dump)
    world.json("rollback", "a")
    assert _bodies(world) == BODIES
    assert {bucket for (bucket,) in world.rows("SELECT s3_bucket FROM documents")} == {world.shared}


def test_a_dump_between_copy_and_cutover(world: World, tmp_path: Path) -> None:
    world.json("migrate", "a", "--until", "verified")
    dump = _dump(world, tmp_path / "old.sql")
    world.json("migrate", "a")
    _finish(world)
    _restore(world, dump)
    assert set(_bodies(world).values()) == {None}
    assert world.json("plan")["tenants"][0]["quarantined"] == []
    [report] = world.json("migrate", "a")["tenants"]
    assert (report["documents_migrated"], report["error_count"]) == (DOCUMENTS, 0)
    assert _bodies(world) == BODIES
    assert world.json("verify", "a")["is_well"]


def test_only_the_applications_tables_are_old(world: World, tmp_path: Path) -> None:
    world.execute("UPDATE documents SET etag = NULL")
    dump = _dump(world, tmp_path / "old.sql", "--table=tenants", "--table=documents", "--data-only")
    world.json("migrate", "a")
    home = _home(world)
    _finish(world)
    world.execute("TRUNCATE documents")
    world.execute("TRUNCATE tenants CASCADE")
    subprocess.run([BINARIES / "psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}", world.url], check=True)
    statement = f"UPDATE tenants SET aws_bucket_name = '{home}' WHERE id = 1;"
    outcome, _, hint = _doctor(world)
    assert (outcome, statement in hint) == ("failed", True)
    refused = world.run("migrate", "a")
    assert (refused.returncode, "its row names no bucket" in refused.stderr) == (1, True)
    world.execute(statement)
    assert world.json("migrate", "a")["error_count"] == 0
    assert _bodies(world) == BODIES
    assert world.json("verify", "a")["is_well"]


def test_a_source_that_comes_back_is_a_conflict(world: World, tmp_path: Path) -> None:
    dump = _dump(world, tmp_path / "old.sql")
    world.json("migrate", "a")
    home = _home(world)
    _finish(world)
    _restore(world, dump)
    world.execute("UPDATE tenants SET aws_bucket_name = %s", home)
    world.json("migrate", "a")
    world.server.root().put_object(Bucket=world.shared, Key="k/0", Body=b"from a backup, older")
    [report] = world.json("migrate", "a", status=1)["tenants"]
    assert [each["code"] for each in report["outstanding"]] == ["Conflict"]
    assert _bodies(world) == BODIES
