"""After `cleanup --drop-bucket` everything goes on, whether the settings still name the bucket or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.ceph import NO_POLICIES
from tests.support.data_room import Room

DOCUMENTS = 3
ROLES = ("provision", "migrate", "rollback", "finish", "log-bucket")
UNSET = {"REHOUSE_SHARED_BUCKET": ""}
SETTINGS = pytest.mark.parametrize("unset", [False, True], ids=["in the settings", "not in the settings"])


@pytest.fixture
def dropped(new_room: Callable[..., Room], unset: bool) -> Room:
    """A room whose only tenant is finished and whose shared bucket is removed; the settings may still name it."""
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    policies = room.run("iam-policy", *(word for role in ROLES for word in ("--role", role))).stdout
    room.credentials = room.server.user(f"of-{room.shared}", json.loads(policies))
    room.json("migrate", "a")
    room.execute("UPDATE s3_migration_documents SET flipped_at = now() - %s", timedelta(days=8))
    assert room.json("finish", "a", "--yes")["sources_removed"] == DOCUMENTS
    assert room.json("cleanup", "--drop-bucket", room.shared, "--yes")["buckets"][0]["is_removed"] is True
    room.more |= UNSET if unset else {}
    return room


@SETTINGS
def test_what_only_looks_goes_on(dropped: Room) -> None:
    assert [each["phase"] for each in dropped.json("status")["tenants"]] == ["finished"]
    assert dropped.json("verify", "a")["is_well"]
    assert dropped.run("verify-all", "--deep").returncode == 0
    assert dropped.json("plan")["dropped_buckets"] == [dropped.shared]
    assert dropped.json("cleanup")["buckets"] == [
        {**each, "bucket": dropped.shared, "is_removed": True} for each in dropped.json("cleanup")["buckets"]
    ]
    for words in (("rules",), ("config",), ("init",), ("uninstall", "--dry-run"), ("iam-policy",)):
        assert dropped.run(*words).returncode == 0


@SETTINGS
@pytest.mark.not_on_ceph(NO_POLICIES)
def test_doctor_and_audit_find_nothing_missing(dropped: Room) -> None:
    audited = dropped.json("audit")
    assert (audited["is_well"], audited["buckets_checked"]) == (True, 2)
    checks = dropped.json("doctor", "--probe")["checks"]
    assert [each for each in checks if each["outcome"] == "failed"] == []
    [removed] = [each for each in checks if each["subject"] == f"{dropped.shared}: presence"]
    assert "removed it" in removed["message"]


@SETTINGS
def test_what_was_done_can_be_run_again(dropped: Room) -> None:
    assert dropped.json("migrate", "a")["error_count"] == 0
    assert dropped.json("migrate-all")["error_count"] == 0
    assert dropped.json("finish", "a", "--yes")["error_count"] == 0
    assert dropped.json("finish", "--all", "--yes")["error_count"] == 0
    assert dropped.json("cleanup", "--drop-bucket", dropped.shared, "--yes")["buckets"][0]["is_removed"] is True
    refused = dropped.run("rollback", "a")
    assert (refused.returncode, "no way back" in refused.stderr) == (2, True)


@SETTINGS
def test_a_new_tenant_moves_into_a_bucket_of_its_own(dropped: Room) -> None:
    dropped.execute("INSERT INTO tenants (id, name, slug) VALUES (2, 'b', 'b')")
    assert dropped.json("migrate", "b")["tenants"][0]["status"] == "completed"
    [(home,)] = dropped.rows("SELECT aws_bucket_name FROM tenants WHERE id = 2")
    dropped.server.root().put_object(Bucket=home, Key="new", Body=b"x")
    add = (
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, file_size, uploaded_at)"
        " VALUES (%s, 2, 'x', 'x', %s, %s, 1, 0, '2024-01-01')"
    )
    dropped.execute(add, "new", home, "new")
    assert dropped.json("verify", "b")["is_well"]
    for words in (("rollback", "b"), ("rollback", "b", "--dry-run")):
        refused = dropped.run(*words)
        assert refused.returncode == 2
        assert f"the shared bucket {dropped.shared} was removed" in refused.stderr
    dropped.execute(add, "lost", None, "k/0")
    [lost] = dropped.json("migrate", "b", status=3)["tenants"][0]["outstanding"]
    assert (lost["document_id"], lost["code"], lost["source"]["bucket"]) == ("lost", "missing_object", dropped.shared)
    assert dropped.json("plan", "b", status=3)["tenants"][0]["quarantined"][0]["code"] == "missing_object"
    assert dropped.json("verify", "b", status=3)["tenants"][0]["problems"][0]["document_id"] == "lost"


@pytest.mark.parametrize("unset", [False])
def test_a_kill_right_after_the_removal_leaves_no_gap(dropped: Room) -> None:
    dropped.execute("ALTER TABLE s3_migration_events DISABLE TRIGGER USER")
    dropped.execute("DELETE FROM s3_migration_events WHERE event = 'shared_bucket_removed'")
    for more in ({}, UNSET):
        assert dropped.run("verify", "a", **more).returncode == 0
        assert dropped.json("cleanup", **more)["buckets"][0]["is_removed"] is True


@pytest.mark.parametrize("unset", [False])
def test_a_bucket_that_is_there_again_counts_as_there(dropped: Room) -> None:
    dropped.server.root().create_bucket(Bucket=dropped.shared)
    dropped.server.root().put_object(Bucket=dropped.shared, Key="back", Body=b"x")
    assert dropped.json("plan")["dropped_buckets"] == []
    assert dropped.json("cleanup")["buckets"][0]["objects"] == 1
    refused = dropped.run("verify", "a", **UNSET)
    assert refused.returncode == 2
    assert f"{dropped.shared} was to be removed and still exists" in refused.stderr


def test_without_a_removal_an_unset_bucket_is_refused(new_room: Callable[..., Room]) -> None:
    room = new_room("integer")
    room.lay_out(1)
    for words in (("status",), ("verify", "a"), ("doctor",), ("cleanup",), ("iam-policy",)):
        refused = room.run(*words, **UNSET)
        assert (refused.returncode, "REHOUSE_SHARED_BUCKET is not set" in refused.stderr) == (2, True), words
