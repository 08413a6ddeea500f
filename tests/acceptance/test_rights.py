"""The command needs what its own policy documents say, and never a right to delete."""

from __future__ import annotations

import json

import pytest
from tests.support import independent_check
from tests.support.ceph import NO_POLICIES

DENIED = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": ["s3:DeleteObject*", "s3:DeleteBucket*"], "Resource": "*"}],
}


def allowed(policies):
    """Yield (action, resource) of everything that the documents allow."""
    for document in policies.values():
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            yield from ((action, resource) for action in statement["Action"] for resource in statement["Resource"])


@pytest.fixture(scope="module")
def room(new_room):
    made = new_room("integer")
    made.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    made.server.root().put_object(Bucket=made.shared, Key="k", Body=b"x", Tagging="a=b")
    made.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES ('d', 1, 'd', 'd', 'k', 1)"
    )
    return made


def test_nothing_may_be_deleted_or_written_in_the_shared_bucket(room):
    arn = f"arn:aws:s3:::{room.shared}"
    to_shared = [action for action, resource in allowed(room.policies()) if resource in (arn, f"{arn}/*")]
    assert "s3:GetObject" in to_shared
    assert [action for action in to_shared if not action.startswith(("s3:Get", "s3:List"))] == []


def test_documents_in_the_homes_may_not_be_deleted_either(room):
    probe = f"{room.prefix}--probe-*"
    deletions = {resource for action, resource in allowed(room.policies()) if "Delete" in action}
    assert all(probe in resource for resource in deletions), deletions


@pytest.mark.not_on_ceph(NO_POLICIES)
def test_a_migration_succeeds_though_all_deletion_is_denied(room):
    room.with_user(denied=DENIED)
    before = independent_check.snapshot(room.url, room.server.root(), room.shared)
    done = room.run("migrate-all")
    assert done.returncode == 0, done.stdout + done.stderr
    after = independent_check.outcome(room.url, room.server.root(), room.shared)
    assert independent_check.check(before, after) == {"a": 1}


@pytest.mark.not_on_ceph(NO_POLICIES)
def test_without_the_right_to_copy_the_hint_names_the_way_out(new_room):
    room = new_room("integer")
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    room.server.root().put_object(Bucket=room.shared, Key="k", Body=b"x")
    room.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES ('d', 1, 'd', 'd', 'k', 1)"
    )
    statement = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{room.prefix}-a-*/*"}
    room.with_user(denied={"Version": "2012-10-17", "Statement": [statement]})
    done = room.run("migrate", "a")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "iam-policy" in done.stderr
    assert room.rows("SELECT s3_bucket FROM documents") == [(None,)]
    assert room.rows("SELECT status FROM s3_migrations") == [("failed",)]
    assert json.dumps(room.policies()).count("DeleteObject") == 2
