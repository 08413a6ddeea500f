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
def world(new_world):
    made = new_world("integer")
    made.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    made.server.root().put_object(Bucket=made.shared, Key="k", Body=b"x", Tagging="a=b")
    made.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES ('d', 1, 'd', 'd', 'k', 1)"
    )
    return made


def test_nothing_may_be_deleted_or_written_in_the_shared_bucket(world):
    arn = f"arn:aws:s3:::{world.shared}"
    to_shared = [action for action, resource in allowed(world.policies()) if resource in (arn, f"{arn}/*")]
    assert "s3:GetObject" in to_shared
    assert [action for action in to_shared if not action.startswith(("s3:Get", "s3:List"))] == []


def test_documents_in_the_homes_may_not_be_deleted_either(world):
    probe = f"{world.prefix}--probe-*"
    deletions = {resource for action, resource in allowed(world.policies()) if "Delete" in action}
    assert all(probe in resource for resource in deletions), deletions


@pytest.mark.not_on_ceph(NO_POLICIES)
def test_a_migration_succeeds_though_all_deletion_is_denied(world):
    world.with_user(denied=DENIED)
    before = independent_check.snapshot(world.url, world.server.root(), world.shared)
    done = world.run("migrate-all")
    assert done.returncode == 0, done.stdout + done.stderr
    after = independent_check.outcome(world.url, world.server.root(), world.shared)
    assert independent_check.check(before, after) == {"a": 1}


@pytest.mark.not_on_ceph(NO_POLICIES)
def test_without_the_right_to_copy_the_hint_names_the_way_out(new_world):
    world = new_world("integer")
    world.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    world.server.root().put_object(Bucket=world.shared, Key="k", Body=b"x")
    world.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES ('d', 1, 'd', 'd', 'k', 1)"
    )
    statement = {"Effect": "Deny", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{world.prefix}-a-*/*"}
    world.with_user(denied={"Version": "2012-10-17", "Statement": [statement]})
    done = world.run("migrate", "a")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "iam-policy" in done.stderr
    assert world.rows("SELECT s3_bucket FROM documents") == [(None,)]
    assert world.rows("SELECT status FROM s3_migrations") == [("failed",)]
    assert json.dumps(world.policies()).count("DeleteObject") == 2
