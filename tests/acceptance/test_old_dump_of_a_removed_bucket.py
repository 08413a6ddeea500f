"""A database restored from a dump that names a bucket which `rollback --drop-bucket` has removed since: nothing is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.ceph import NO_POLICIES
from tests.support.data_room import Room
from tests.support.dumps import bodies_of, dump_database, restore_database

PAGE = Path(__file__).parents[2] / "docs" / "restore.md"
DOCUMENTS = 3
BODIES = {str(number): b"%d" % number for number in range(DOCUMENTS)}
ROLES = ("provision", "migrate", "rollback", "finish", "log-bucket")
NO_GRACE = {"REHOUSE_GRACE_DAYS": "0"}

pytestmark = pytest.mark.not_on_ceph(NO_POLICIES)


@pytest.fixture
def room(new_room: Callable[..., Room]) -> Room:
    """One tenant with three documents. Nothing is migrated."""
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    policies = room.run("iam-policy", *(word for role in ROLES for word in ("--role", role))).stdout
    room.credentials = room.server.user(f"of-{room.shared}", json.loads(policies))
    room.more |= NO_GRACE
    return room


def home_of(room: Room) -> str:
    return str(room.rows("SELECT home_bucket FROM s3_migrations")[0][0])


def drop(room: Room) -> None:
    """Remove the bucket of the tenant, which went back."""
    room.json("rollback", "a", "--drop-bucket", "--yes")


def buckets(room: Room) -> list[str]:
    return [
        each["Name"]
        for each in room.server.root().list_buckets()["Buckets"]
        if room.settings.bucket_prefix in each["Name"]
    ]


def errors_of(room: Room, *words: str, status: int = 2) -> str:
    """Run a command that is refused; return its words."""
    ended = room.run(*words)
    assert ended.returncode == status, (words, ended)
    return " ".join((ended.stdout + ended.stderr).split())


@pytest.fixture
def lost(room: Room, tmp_path: Path) -> Room:
    """The dump is of after the cutover; document 0 was written at home since, so its newest version is below `returned/`."""
    room.json("migrate", "a")
    home = home_of(room)
    file = dump_database(room, tmp_path / "old.sql")
    room.server.root().put_object(Bucket=home, Key="documents/0/x", Body=b"written at home")
    room.json("rollback", "a")
    drop(room)
    restore_database(room, file)
    assert set(bodies_of(room).values()) == {None}
    return room


def test_no_command_goes_on_into_a_removed_bucket(lost: Room) -> None:
    home = home_of(lost)
    before = {key["Key"] for key in lost.server.root().list_objects_v2(Bucket=lost.shared)["Contents"]}
    told = f"its bucket {home} does not exist, and rows point into it: 3 documents"
    for words in (
        ("migrate", "a"),
        ("rollback", "a"),
        ("rollback", "a", "--dry-run"),
        ("finish", "a", "--after", "0", "--yes"),
        ("cutover", "a"),
    ):
        said = errors_of(lost, *words)
        assert told in said, words
        assert "Restore an old database dump" in said, words
    assert lost.json("migrate-all", status=1)["error_count"] == 1
    checks = json.loads(lost.run("doctor", "--output", "json").stdout)["result"]["checks"]
    [check] = [each for each in checks if each["subject"].startswith("tenants' buckets: named")]
    assert (check["outcome"], told in check["message"]) == ("failed", True)
    [verified] = lost.json("verify", "a", status=1)["tenants"]
    assert {each["finding"] for each in verified["problems"]} == {"missing"}
    assert lost.json("audit", status=1)["findings"][0]["kind"] == "missing bucket"
    assert lost.json("status", "a")["overview"]["phase"] == "cut_over", "the ledger alone"
    assert buckets(lost) == []
    assert {key["Key"] for key in lost.server.root().list_objects_v2(Bucket=lost.shared)["Contents"]} == before


def test_the_page_leads_back_to_every_document(lost: Room) -> None:
    home, root = home_of(lost), lost.server.root()
    _, statement = re.findall(r"^ *```sql\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lost.execute(statement.replace("HOME", home))
    assert bodies_of(lost) == BODIES
    [found] = root.list_objects_v2(Bucket=lost.shared, Prefix="returned/a/")["Contents"]
    lost.execute("UPDATE documents SET s3_key = %s WHERE id = %s", found["Key"], found["Key"].split("/")[2])
    assert bodies_of(lost) == BODIES | {"0": b"written at home"}
    assert lost.json("rollback", "a")["error_count"] == 0
    drop(lost)
    assert lost.rows("SELECT aws_bucket_name FROM tenants") == [(None,)]
    assert lost.json("migrate", "a")["tenants"][0]["status"] == "completed"
    assert home_of(lost) != home
    assert bodies_of(lost) == BODIES | {"0": b"written at home"}
    assert lost.json("verify", "a", "--deep")["is_well"]


def test_a_dump_before_the_cutover_is_migrated_anew(room: Room, tmp_path: Path) -> None:
    room.json("migrate", "a", "--until", "verified")
    home = home_of(room)
    file = dump_database(room, tmp_path / "old.sql")
    room.json("migrate", "a")
    room.json("rollback", "a")
    drop(room)
    restore_database(room, file)
    assert (buckets(room), bodies_of(room)) == ([], BODIES)
    assert room.json("status", "a")["overview"]["phase"] == "verified"
    [report] = room.json("migrate", "a")["tenants"]
    assert (report["status"], report["documents_migrated"], report["error_count"]) == ("completed", DOCUMENTS, 0)
    assert (buckets(room), bodies_of(room)) == ([home], BODIES)
    assert room.json("verify", "a", "--deep")["is_well"]


def test_a_dump_before_the_cutover_can_be_given_up(room: Room, tmp_path: Path) -> None:
    room.json("migrate", "a", "--until", "verified")
    file = dump_database(room, tmp_path / "old.sql")
    room.json("migrate", "a")
    room.json("rollback", "a")
    drop(room)
    restore_database(room, file)
    assert room.json("rollback", "a")["error_count"] == 0
    assert bodies_of(room) == BODIES


def test_a_dump_after_the_rollback_goes_on(room: Room, tmp_path: Path) -> None:
    room.json("migrate", "a")
    room.json("rollback", "a")
    home = home_of(room)
    file = dump_database(room, tmp_path / "old.sql")
    drop(room)
    restore_database(room, file)
    assert (buckets(room), bodies_of(room)) == ([], BODIES)
    assert room.json("rollback", "a")["error_count"] == 0
    assert room.json("migrate", "a")["tenants"][0]["status"] == "completed"
    assert (buckets(room), bodies_of(room)) == ([home], BODIES)
    assert room.json("verify", "a", "--deep")["is_well"]


def test_a_removal_can_be_recorded_again(room: Room, tmp_path: Path) -> None:
    room.json("migrate", "a")
    room.json("rollback", "a")
    file = dump_database(room, tmp_path / "old.sql")
    drop(room)
    restore_database(room, file)
    drop(room)
    assert room.rows("SELECT home_bucket FROM s3_migrations") == [(None,)]
    assert bodies_of(room) == BODIES
