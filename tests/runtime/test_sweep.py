"""The sweep: what it removes and leaves, and the command that a scheduler runs."""

from __future__ import annotations

import json
from io import BytesIO

import pytest
from tests.conftest import EVERYTHING
from tests.support.age_grants import age
from tests.support.data_room import Room

from rehouse.core.permissions.policies import Scope, policy_documents
from rehouse.runtime.storage import TenantStorage
from rehouse.runtime.streams import SINGLE_BYTES


@pytest.fixture
def left(room, acme) -> None:
    """An overwritten document, a grant that was never used, and one in parts."""
    room.documents("d1")
    acme.upload("d1", "a.txt", BytesIO(b"new"), "text/plain")
    acme.create_upload("d1", "b.txt", 1, "text/plain")
    acme.create_upload("d1", "c.bin", SINGLE_BYTES + 1)


def as_user(room, s3_server, name: str, policies) -> Room:
    """Return the room with a command that has these rights."""
    room.credentials = s3_server.user(name, policies)
    return room


def test_the_command_counts_and_then_removes(room, s3_server, left):
    user = as_user(room, s3_server, f"sweeper-{room.shared}", EVERYTHING)
    age(room)
    counted = user.run("sweep", "--dry-run")
    assert counted.stdout == "To remove: 2 uploads that expired, 1 object. Failed: 0.\n"
    assert len(room.keys(room.shared)) == 2
    done = user.run("sweep", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == {"expired_grants": 2, "objects": 1, "failed": [], "dry_run": False}
    assert len(room.keys(room.shared)) == 1
    assert room.body("d1") == b"new"
    assert user.run("sweep").stdout == "Removed: 0 uploads that expired, 0 objects. Failed: 0.\n"


def test_what_s3_refuses_is_named_and_left_for_the_next_sweep(room, s3_server, left):
    reader = {"reader": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}]}}  # fmt: skip
    user = as_user(room, s3_server, f"reader-{room.shared}", reader)
    age(room)
    done = user.run("sweep")
    assert done.returncode == 1
    assert "Failed: 2." in done.stdout
    assert "d1: " in done.stdout
    assert "AccessDenied" in done.stdout
    assert len(room.keys(room.shared)) == 2


def test_the_application_s_policy_is_enough(room, s3_server, left, monkeypatch):
    scope = Scope((room.shared,), room.settings.bucket_prefix)
    keys = s3_server.user(f"app-{room.shared}", policy_documents(["application"], scope))
    room.row("d2", None)
    room.migrate()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
    with TenantStorage.open(room.settings) as storage:
        acme = storage.for_tenant("acme")
        acme.upload("d1", "a.txt", BytesIO(b"x" * (SINGLE_BYTES + 1)), "text/plain")
        acme.copy_to(acme, "d1", "d2")
        acme.delete("d1")
        acme.undelete("d1")
        assert acme.open("d1").read(1) == b"x"
        age(room)
        assert storage.sweep().failed == ()


def test_an_object_that_a_row_points_to_again_is_kept(room, storage, left):
    [(key,)] = room.sql("SELECT key FROM s3_pending_deletions")
    room.sql("UPDATE documents SET s3_key = %s", key)
    age(room)
    storage.sweep()
    assert room.body("d1") == b"d1"
    assert room.sql("SELECT count(*) FROM s3_pending_deletions") == [(0,)]


def test_an_object_that_was_written_again_is_kept(room, storage, left):
    [(key,)] = room.sql("SELECT key FROM s3_pending_deletions")
    room.sql("UPDATE s3_pending_deletions SET etag = 'another'")
    age(room)
    storage.sweep()
    assert key in room.keys(room.shared)
