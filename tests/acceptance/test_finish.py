"""The command `finish` as a process of its own, with exactly the rights that `iam-policy --role finish` prints."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.ceph import NO_POLICIES
from tests.support.data_room import Room
from tests.support.envelope import result_of

DOCUMENTS = 30
_numbers = itertools.count(1)


def with_roles(room: Room, *roles: str) -> Room:
    """Give the command a fresh user with the rights of these roles and no others."""
    done = room.run("iam-policy", *(word for role in roles for word in ("--role", role)))
    assert done.returncode == 0, done.stderr
    room.credentials = room.server.user(f"finisher-{next(_numbers)}", json.loads(done.stdout))
    return room


@pytest.fixture
def moved(new_room: Callable[..., Room]) -> Room:
    """A tenant `a` that was moved a week ago, and the rights of `finish` alone."""
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    assert room.json("migrate", "a")["this_run"] == DOCUMENTS
    age(room)
    return with_roles(room, "finish")


def age(room: Room) -> None:
    room.execute("UPDATE s3_migration_documents SET flipped_at = now() - %s", timedelta(days=8))


def sources(room: Room) -> list[str]:
    return [each["Key"] for each in room.server.root().list_objects_v2(Bucket=room.shared).get("Contents", [])]


def downloads(room: Room) -> dict[str, bytes]:
    """What the application reads, document by document."""
    root = room.server.root()
    return {
        document_id: root.get_object(Bucket=bucket or room.shared, Key=key)["Body"].read()
        for document_id, bucket, key in room.rows("SELECT id, s3_bucket, s3_key FROM documents ORDER BY id")
    }


EVERYTHING = {str(number): b"%d" % number for number in range(DOCUMENTS)}


def test_with_the_role_finish_alone_the_sources_go(moved: Room) -> None:
    foreseen = moved.json("finish", "a", "--dry-run")
    assert (foreseen["sources_removed"], foreseen["dry_run"], len(sources(moved))) == (DOCUMENTS, True, DOCUMENTS)
    said = moved.json("finish", "a", "--yes")
    assert (said["sources_removed"], said["waiting"], said["error_count"]) == (DOCUMENTS, 0, 0)
    assert said["tenants"][0]["phase"] == "finished"
    assert sources(moved) == []
    assert downloads(moved) == EVERYTHING
    assert moved.json("finish", "--all", "--yes")["sources_removed"] == 0


def test_a_source_needed_again_is_put_back_under_the_same_role(moved: Room) -> None:
    moved.json("finish", "a", "--yes")
    moved.execute("INSERT INTO tenants (id, name, slug) VALUES (2, 'b', 'b')")
    moved.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES ('again', 2, 'x', 'x', 'k/7', 1)"
    )
    assert moved.json("finish", "a", "--yes")["tenants"][0]["put_back"] == 1
    assert downloads(moved) == EVERYTHING | {"again": b"7"}


def test_it_asks_before_it_deletes(moved: Room) -> None:
    done = moved.run("finish", "a")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert len(sources(moved)) == DOCUMENTS


@pytest.mark.parametrize(("typed", "status", "left"), [("b\n", 2, DOCUMENTS), ("\n", 2, DOCUMENTS), ("a\n", 0, 0)])
def test_at_a_terminal_the_tenants_name_is_typed(moved: Room, typed: str, status: int, left: int) -> None:
    done = moved.typed(typed, "finish", "a")
    assert done.returncode == status, done.stderr
    assert "Type a to go on" in done.stderr
    assert len(sources(moved)) == left


@pytest.mark.parametrize("words", [("finish",), ("finish", "a", "--all"), ("finish", "a", "--after", "soon")])
def test_wrong_usage_is_refused(moved: Room, words: tuple[str, ...]) -> None:
    assert moved.run(*words, "--yes").returncode == 2
    assert len(sources(moved)) == DOCUMENTS


def test_a_shorter_grace_says_what_it_gives_up(new_room: Callable[..., Room]) -> None:
    room = new_room("integer")
    room.lay_out(3)
    room.json("migrate", "a")
    with_roles(room, "finish")
    waiting = room.json("finish", "a", "--yes")
    assert (waiting["sources_removed"], waiting["waiting"], waiting["error_count"]) == (0, 3, 0)
    done = room.run("finish", "a", "--after", "0", "--yes")
    assert done.returncode == 0, done.stderr
    assert "presigned URLs" in done.stdout
    assert "Sources removed: 3, Waiting: 0, Errors: 0" in done.stdout


@pytest.mark.not_on_ceph(NO_POLICIES)
def test_the_rights_of_a_migration_remove_nothing(moved: Room) -> None:
    with_roles(moved, "provision", "migrate")
    done = moved.run("finish", "a", "--yes")
    assert done.returncode != 0
    assert "--role finish" in done.stderr + done.stdout
    assert len(sources(moved)) == DOCUMENTS


def test_with_the_rights_to_migrate_as_well_it_sweeps_first(moved: Room) -> None:
    with_roles(moved, "provision", "migrate", "finish")
    moved.server.root().put_object(Bucket=moved.shared, Key="k/late", Body=b"late")
    moved.server.root().put_object(Bucket=moved.shared, Key="k/3", Body=b"written late")
    moved.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES ('late', 1, 'x', 'x', 'k/late', 1)"
    )
    said = moved.json("finish", "a", "--yes")
    assert (said["sources_removed"], said["waiting"]) == (DOCUMENTS - 1, 2)
    assert downloads(moved) == EVERYTHING | {"late": b"late", "3": b"written late"}
    age(moved)
    assert moved.json("finish", "a", "--yes")["tenants"][0]["phase"] == "finished"
    assert sources(moved) == []
    assert downloads(moved) == EVERYTHING | {"late": b"late", "3": b"written late"}


@pytest.mark.not_on_ceph("one marker more is counted: tests/on_ceph/test_removal.py")
def test_the_emptied_bucket_goes_under_the_role_finish(moved: Room) -> None:
    root = moved.server.root()
    root.put_bucket_versioning(Bucket=moved.shared, VersioningConfiguration={"Status": "Enabled"})
    root.put_object(Bucket=moved.shared, Key="nobody's", Body=b"x")
    [before] = moved.json("cleanup")["buckets"]
    assert {each["category"]: each["objects"] for each in before["left"]} == {"source": DOCUMENTS, "orphan": 1}
    moved.json("finish", "a", "--yes")
    [after] = moved.json("cleanup")["buckets"]
    assert {each["category"]: each["examples"] for each in after["left"]} == {"orphan": ["nobody's"]}
    assert after["older"]["delete_markers"] == DOCUMENTS
    refused = moved.run("cleanup", "--drop-bucket", moved.shared, "--yes")
    assert (refused.returncode, "nobody's" in refused.stderr) == (2, True)
    version = root.list_object_versions(Bucket=moved.shared, Prefix="nobody")["Versions"][0]["VersionId"]
    root.delete_object(Bucket=moved.shared, Key="nobody's", VersionId=version)
    assert moved.run("cleanup", "--drop-bucket", moved.shared).returncode == 2
    assert moved.typed("a\n", "cleanup", "--drop-bucket", moved.shared).returncode == 2
    assert moved.shared in {each["Name"] for each in root.list_buckets()["Buckets"]}
    kept = moved.run("cleanup", "--drop-bucket", moved.shared, "--keep-empty", "--yes")
    assert (kept.returncode, "Warning" in kept.stderr) == (0, False), kept.stderr
    gone = moved.run("cleanup", "--drop-bucket", moved.shared, "--yes", "--output", "json")
    assert result_of(gone.stdout)["buckets"][0]["is_removed"] is True
    assert f"once {moved.shared} is deleted, any AWS account can create a bucket of that name" in gone.stderr
    assert moved.shared not in {each["Name"] for each in root.list_buckets()["Buckets"]}
    assert downloads(moved) == EVERYTHING


@pytest.mark.long
@pytest.mark.sample
def test_killed_again_and_again_it_ends_with_nothing_lost(moved: Room) -> None:
    for seconds in (0.8, 1.0, 1.2, 1.4):
        process = moved.start("finish", "a", "--yes", "--max-rate", "20")
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=180)
        assert downloads(moved) == EVERYTHING
    said = moved.json("finish", "a", "--yes")
    assert (said["tenants"][0]["phase"], said["tenants"][0]["sources_removed_in_all"]) == ("finished", DOCUMENTS)
    assert sources(moved) == []
    assert downloads(moved) == EVERYTHING


def test_before_the_cutover_it_is_refused(new_room: Callable[..., Room]) -> None:
    room = new_room("integer")
    room.lay_out(2)
    room.json("migrate", "a", "--until", "verified")
    done = room.run("finish", "a", "--yes")
    assert done.returncode == 2
    assert "rehouse migrate a" in done.stderr
    assert len(sources(room)) == 2
