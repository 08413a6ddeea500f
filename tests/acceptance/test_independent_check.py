"""After `migrate-all` the room is what it has to be, says a check that shares no code with rehouse."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from tests.support import independent_check
from tests.support.data_room import CORS_ORIGIN
from tests.support.rooms import Migrated

USAGE = """
SELECT
    t.name,
    tu.storage_used_mb,
    tu.documents_count
FROM tenants t
JOIN tenant_usage tu ON t.id = tu.tenant_id
WHERE tu.month = date_trunc('month', CURRENT_DATE);
"""
OVERVIEW = """
SELECT
    t.name,
    sm.status,
    sm.documents_migrated,
    sm.completed_at
FROM tenants t
LEFT JOIN s3_migrations sm ON t.id = sm.tenant_id
ORDER BY t.name;
"""


def test_every_document_is_at_home_and_nothing_else_changed(migrated: Migrated) -> None:
    moved = independent_check.check(migrated.before, migrated.after)
    assert sum(moved.values()) == len(independent_check.movable(migrated.before)) > 400


def test_the_command_said_what_happened(migrated: Migrated) -> None:
    moved = len(independent_check.movable(migrated.before))
    stuck = stuck_documents(migrated)
    assert stuck
    assert migrated.run.returncode == 3, migrated.run.stderr
    assert f"Documents migrated: {moved} (this run: {moved}), Errors: {len(stuck)}" in migrated.run.stdout
    for document_id in stuck:
        assert document_id in migrated.run.stdout


@pytest.mark.not_on_ceph("Ceph has no object ownership, default encryption and access logging as AWS has them")
def test_every_bucket_is_the_guides(migrated: Migrated) -> None:
    client = migrated.room.server.root()
    for tenant_id, home in migrated.after.homes.items():
        tenant = migrated.after.now.tenants[tenant_id]
        check_configuration(independent_check.configuration(client, home), tenant, home, migrated)
    logs = independent_check.configuration(client, migrated.room.log_bucket)
    assert all(logs["public"].values())
    assert logs["logging"] is None


def check_configuration(
    found: independent_check.Row, tenant: independent_check.Row, home: str, migrated: Migrated
) -> None:
    assert home.startswith("dataroom-saas-")
    assert found["public"] == dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    assert found["ownership"]["Rules"][0]["ObjectOwnership"] == "BucketOwnerEnforced"
    default = found["encryption"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]
    assert default["SSEAlgorithm"] == "AES256"
    assert found["versioning"] == "Enabled"
    assert found["logging"]["TargetBucket"] == migrated.room.log_bucket
    tags = {tag["Key"]: tag["Value"] for tag in found["tags"]}
    assert tags == {"tenant-id": str(tenant["id"]), "tenant-slug": tenant["slug"]}
    check_lifecycle(found["lifecycle"])
    check_cors(found["cors"])
    statements = json.loads(found["policy"])["Statement"]
    assert any("encryption" in json.dumps(each) and each["Effect"] == "Deny" for each in statements)
    assert not any(each["Effect"] == "Allow" for each in statements)


def check_lifecycle(rules: list[independent_check.Row]) -> None:
    assert all(rule["Status"] == "Enabled" for rule in rules)
    whole = [rule for rule in rules if not rule.get("Filter", {}).get("Prefix")]
    temporary = [rule for rule in rules if rule.get("Filter", {}).get("Prefix") == "temp/"]
    assert [
        r["NoncurrentVersionExpiration"]["NoncurrentDays"] for r in whole if "NoncurrentVersionExpiration" in r
    ] == [30]
    moves = [transition for rule in whole for transition in rule.get("Transitions", [])]
    assert [(each["Days"], each["StorageClass"]) for each in moves] == [(90, "STANDARD_IA")]
    assert [rule["Expiration"]["Days"] for rule in temporary if "Expiration" in rule] == [1]
    assert [
        r["NoncurrentVersionExpiration"]["NoncurrentDays"] for r in temporary if "NoncurrentVersionExpiration" in r
    ] == [1]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    assert all("Days" not in rule.get("Expiration", {}) for rule in whole), "documents must never expire"


def check_cors(rules: list[independent_check.Row]) -> None:
    assert [origin for rule in rules for origin in rule["AllowedOrigins"]] == [CORS_ORIGIN]
    assert {"PUT", "POST", "GET"} <= {method for rule in rules for method in rule["AllowedMethods"]}


def test_the_guides_overview_is_true(migrated: Migrated) -> None:
    moved = independent_check.check(migrated.before, migrated.after)
    stuck = set(stuck_documents(migrated).values())
    told = migrated.room.rows(OVERVIEW)
    assert sorted(row[0] for row in told) == sorted(tenant["name"] for tenant in migrated.before.tenants.values())
    tenants = {tenant["name"]: tenant for tenant in migrated.before.tenants.values()}
    for name, status, documents, completed_at in told:
        tenant = tenants[name]
        if not tenant["is_active"]:
            assert (status, documents or 0, completed_at) == (None, 0, None)
            continue
        assert documents == moved[tenant["slug"]]
        assert status == ("failed" if tenant["id"] in stuck else "completed")
        assert (completed_at is None) == (status == "failed")


def test_the_guides_usage_is_true(migrated: Migrated) -> None:
    wanted = {}
    for tenant in migrated.after.now.tenants.values():
        rows = [row for row in migrated.after.now.documents.values() if row["tenant_id"] == tenant["id"]]
        size = sum(row["file_size"] or row["size"] or 0 for row in rows)
        wanted[tenant["name"]] = (round(size / 1048576), len(rows))
    told = migrated.room.rows(USAGE)
    assert {row[0]: tuple(row[1:]) for row in told} == wanted
    assert len(told) == len(wanted)


def test_what_an_older_tool_wrote_is_kept_as_history(migrated: Migrated) -> None:
    rows = migrated.room.rows("SELECT event, reason FROM s3_migration_events WHERE event = 'adopted'")
    is_older = any(
        tenant["aws_bucket_name"] not in (None, migrated.before.shared) for tenant in migrated.before.tenants.values()
    )
    assert bool(rows) == is_older
    if is_older:
        assert any("NoSuchKey" in reason for _, reason in rows)
        past = datetime(2025, 3, 1, tzinfo=UTC).date()
        kept = migrated.room.rows("SELECT documents_count, api_calls_count FROM tenant_usage WHERE month = %s", past)
        assert kept == [(15, 120)]


def stuck_documents(migrated: Migrated) -> dict[str, object]:
    """Document id → tenant of what an active tenant has in the shared bucket (or says it has) and cannot be moved."""
    before, movable = migrated.before, independent_check.movable(migrated.before)
    return {
        row["id"]: row["tenant_id"]
        for row in before.documents.values()
        if row["tenant_id"] in before.tenants
        and before.tenants[row["tenant_id"]]["is_active"]
        and row["s3_key"] is not None
        and row["s3_bucket"] in (None, before.shared)
        and row["id"] not in movable
    }
