"""Audit against a real server: drift setting by setting, buckets without a tenant, tenants without a bucket; the repair."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import boto3
import pytest
from tests.support.data_room import Room
from tests.support.http_relay import Reply, Request
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import ConfigurationError
from rehouse.core.lifecycle import Phase
from rehouse.operations.audit import AuditReport, audit
from rehouse.operations.buckets.findings import AuditFinding, FindingKind
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

OPEN = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)


def look(room: Room, slug: str | None = None, *, fix: bool = False, **more: Any) -> AuditReport:
    with room.services(writes=False, **more) as services:
        return audit(services, services.ledger.tenant(slug) if slug else None, fix=fix)


def kinds(report: AuditReport) -> Counter[str]:
    return Counter(each.kind for each in report.findings)


def settings_of(report: AuditReport) -> set[str | None]:
    return {each.setting for each in report.findings if each.kind is FindingKind.SETTING}


def spoil(room: Room, bucket: str) -> None:
    """Open the locks, stop the versions, drop the policy."""
    room.root.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=OPEN)  # type: ignore[arg-type]
    room.root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    room.root.delete_bucket_policy(Bucket=bucket)


@pytest.fixture
def moved(room: Room) -> Room:
    """A room whose tenant is migrated."""
    room.documents("a")
    room.migrate()
    return room


def test_after_a_migration_all_is_well(moved: Room) -> None:
    report = look(moved)
    assert report.findings == []
    assert report.is_well
    assert (report.tenants_checked, report.buckets_checked) == (1, 2)
    assert report.not_offered == []


METRICS = b'<MetricsConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Id>EntireBucket</Id></MetricsConfiguration>'


def test_metrics_against_the_setting_go_under_our_id_alone(moved: Room, strict: StrictRelay) -> None:
    gone: list[Request] = []

    def metrics(request: Request) -> Reply | None:
        if "metrics" not in request.query or request.bucket != moved.home():
            return None
        assert request.query["id"] == ["EntireBucket"]
        if request.method == "DELETE":
            gone.append(request)
            return Reply(204)
        if gone:
            return Reply(404, b"<Error><Code>NoSuchConfiguration</Code><Message>none</Message></Error>")
        return Reply(200, METRICS)

    strict.meanwhile = metrics
    [finding] = look(moved).findings
    assert (finding.setting, finding.can_be_fixed, gone) == ("metrics", True, [])
    assert "billed" in finding.message
    assert look(moved, request_metrics=True).findings == []
    assert look(moved, fix=True).is_well
    assert len(gone) == 1
    assert look(moved).findings == []


def test_before_init_a_tenant_without_a_bucket_is_told(room: Room) -> None:
    before = room.root.list_buckets()["Buckets"]
    [finding] = look(room, fix=True).findings
    assert (finding.kind, finding.tenant, finding.is_fixed) == (FindingKind.NO_BUCKET, "acme", False)
    assert "rehouse migrate acme" in finding.hint
    assert room.root.list_buckets()["Buckets"] == before
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)]


def test_an_inactive_tenant_without_a_bucket_is_a_note(room: Room) -> None:
    room.sql("UPDATE tenants SET is_active = false")
    report = look(room)
    assert report.is_well
    assert any("acme" in note for note in report.notes)


def test_drift_is_explained_setting_by_setting(moved: Room) -> None:
    spoil(moved, moved.home())
    report = look(moved)
    assert not report.is_well
    assert settings_of(report) == {"public_access_block", "versioning", "policy"}
    [lock] = [each for each in report.findings if each.setting == "public_access_block"]
    assert "BlockPublicPolicy is false, must be true" in lock.differences
    assert lock.why
    assert lock.bucket == moved.home()


def test_a_rule_that_deletes_documents_is_said_first(moved: Room) -> None:
    home = moved.home()
    spoil(moved, home)
    ours = moved.root.get_bucket_lifecycle_configuration(Bucket=home)["Rules"]
    purge = {"ID": "purge", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    moved.root.put_bucket_lifecycle_configuration(Bucket=home, LifecycleConfiguration={"Rules": [*ours, purge]})  # type: ignore[list-item]
    worst = look(moved).findings[0]
    assert (worst.setting, worst.bucket, worst.can_be_fixed) == ("lifecycle", home, True)
    assert worst.differences == (
        'the rule "purge" deletes every document 1 day after its upload: it must not be there',
    )
    assert "old versions are kept" in str(worst.why)
    assert "removes old versions" not in f"{worst.message} {worst.why}"
    assert look(moved, fix=True).is_well
    assert look(moved).findings == []


def test_fix_puts_it_right_once_and_leaves_what_is_foreign(moved: Room) -> None:
    home = moved.home()
    spoil(moved, home)
    moved.root.put_bucket_tagging(Bucket=home, Tagging={"TagSet": [{"Key": "team", "Value": "a"}]})
    report = look(moved, fix=True)
    assert report.is_well
    assert all(each.is_fixed for each in report.findings)
    assert settings_of(report) == {"public_access_block", "versioning", "policy", "tags"}
    assert look(moved).findings == []
    tags = {each["Key"]: each["Value"] for each in moved.root.get_bucket_tagging(Bucket=home)["TagSet"]}
    assert tags["team"] == "a"
    assert moved.keys(home) == ["documents/a/a.txt"]


def test_the_locks_are_closed_before_anything_else(moved: Room) -> None:
    spoil(moved, moved.home())
    written: list[str] = []
    with moved.services(writes=False) as services:
        services.control.client.meta.events.register(
            "before-send.s3", lambda event_name, **_: written.append(event_name.rpartition(".")[2])
        )
        audit(services, fix=True)
    puts = [name for name in written if name.startswith(("Put", "Create", "Delete"))]
    trial = "PutObject"  # before and after the protections; it leaves nothing
    assert puts == [trial, "PutPublicAccessBlock", "PutBucketPolicy", trial, "PutBucketVersioning"]
    assert moved.keys(moved.home()) == ["documents/a/a.txt"]


def test_looking_writes_nothing(moved: Room) -> None:
    spoil(moved, moved.home())
    with moved.services(writes=False) as services:
        audit(services)
        assert not [name for name in services.control.requests if name.startswith(("Put", "Create", "Delete"))]


def test_a_home_that_is_gone_is_missing_and_is_not_made_again(moved: Room) -> None:
    home = moved.home()
    empty(moved, home)
    report = look(moved, fix=True)
    [finding] = report.findings
    assert (finding.kind, finding.bucket, finding.is_fixed) == (FindingKind.MISSING_BUCKET, home, False)
    assert not report.is_well
    assert home not in {each["Name"] for each in moved.root.list_buckets()["Buckets"]}


def test_a_promised_name_is_no_bucket_of_the_tenant(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.PLANNED)
    [finding] = look(room).findings
    assert finding.kind is FindingKind.NO_BUCKET
    assert room.home() in finding.message


def test_a_rolled_back_home_has_an_owner_and_may_be_gone(moved: Room) -> None:
    home = moved.home()
    moved.sql("UPDATE s3_migrations SET phase = 'rolled_back'")
    moved.sql("UPDATE tenants SET aws_bucket_name = NULL")
    assert look(moved).is_well
    spoil(moved, home)
    assert settings_of(look(moved)) == {"public_access_block", "versioning", "policy"}
    empty(moved, home)
    assert look(moved).is_well


def test_a_bucket_of_ours_that_no_tenant_has_is_told_and_stays(moved: Room) -> None:
    home = moved.home()
    for table in ("documents", "s3_migration_documents", "s3_migrations", "tenants"):
        moved.sql(f"DELETE FROM {table}")
    report = look(moved, fix=True)
    [finding] = report.findings
    assert finding.kind is FindingKind.UNOWNED_BUCKET
    assert (finding.bucket, finding.is_fixed) == (home, False)
    assert "acme" in finding.message
    assert moved.keys(home) == ["documents/a/a.txt"]


def test_scratch_buckets_are_told_strangers_are_a_note(moved: Room) -> None:
    prefix = moved.settings.bucket_prefix
    moved.root.create_bucket(Bucket=f"{prefix}--probe-0123")
    moved.root.create_bucket(Bucket=f"{prefix}-website")
    report = look(moved)
    [finding] = report.findings
    assert "probe" in finding.message
    assert any(f"{prefix}-website" in note for note in report.notes)


def test_one_tenant_alone_is_looked_at_alone(moved: Room) -> None:
    moved.tenant("globex")
    moved.root.create_bucket(Bucket=f"{moved.settings.bucket_prefix}--probe-0123")
    assert look(moved, "acme").findings == []
    assert kinds(look(moved, "globex")) == {FindingKind.NO_BUCKET: 1}
    assert kinds(look(moved)) == {FindingKind.NO_BUCKET: 1, FindingKind.UNOWNED_BUCKET: 1}


def test_a_row_and_ledger_with_different_homes_contradict(moved: Room) -> None:
    moved.sql("UPDATE tenants SET aws_bucket_name = 'elsewhere'")
    report = look(moved)
    assert kinds(report) == {FindingKind.CONTRADICTION: 1}, "both buckets are the tenant's"
    assert "elsewhere" in report.findings[0].message


def test_two_tenants_in_one_home_are_found_out(moved: Room) -> None:
    moved.sql("ALTER TABLE tenants DROP CONSTRAINT tenants_aws_bucket_name_key")
    moved.tenant("globex", moved.home())
    found = [each for each in look(moved).findings if each.kind is FindingKind.SHARED_HOME]
    assert {each.tenant for each in found} == {"acme", "globex"}


def test_somebody_else_s_bucket_is_told_and_never_written(room: Room) -> None:
    server = room.server
    stranger = boto3.client(
        "s3", endpoint_url=server.endpoint_url, region_name=server.region,
        aws_access_key_id="111111111111", aws_secret_access_key=server._secret,
    )  # fmt: skip
    stranger.create_bucket(Bucket=f"{room.settings.bucket_prefix}-theirs")
    room.sql("UPDATE tenants SET aws_bucket_name = %s", f"{room.settings.bucket_prefix}-theirs")
    report = look(room, fix=True)
    assert kinds(report) == {FindingKind.FOREIGN_BUCKET: 1}


def test_another_region_than_the_shared_buckets_is_refused(moved: Room) -> None:
    with pytest.raises(ConfigurationError, match="us-east-1"):
        look(moved, "acme", region="eu-central-1")


def test_the_log_bucket_is_looked_at_and_made_again(moved: Room) -> None:
    name = f"logs-{moved.settings.bucket_prefix}-000000000000"
    moved.root.delete_bucket_policy(Bucket=name)
    report = look(moved)
    assert [(each.bucket, each.setting) for each in report.findings] == [(name, "policy")]
    empty(moved, name)
    assert kinds(look(moved)) == {FindingKind.MISSING_BUCKET: 1}
    assert look(moved, fix=True).is_well
    assert look(moved).findings == []


def test_a_tenant_another_operator_works_on_is_left_and_said(moved: Room) -> None:
    spoil(moved, moved.home())
    with moved.services(writes=False) as other, other.locks.hold(1, "acme"):
        report = look(moved, fix=True)
    assert kinds(report)[FindingKind.COULD_NOT_FIX] == 1
    assert not report.is_well
    assert not any(each.is_fixed for each in report.findings)


def test_the_rights_to_provision_are_needed_and_enough(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    become(moved, monkeypatch, "provision")
    assert look(moved).is_well
    spoil(moved, moved.home())
    become(moved, monkeypatch, "provision", "migrate")
    assert look(moved, fix=True).is_well
    become(moved, monkeypatch, "application")
    report = look(moved)
    assert not report.is_well
    assert set(kinds(report)) == {FindingKind.COULD_NOT_CHECK}


def become(room: Room, patch: pytest.MonkeyPatch, *roles: Any) -> None:
    from rehouse.core.permissions.policies import policy_documents
    from rehouse.operations.checks.rights import scope_of

    documents = policy_documents(roles, scope_of(room.settings, Control(Session(room.settings))))
    keys = room.server.user(f"{room.settings.bucket_prefix}-{'-'.join(roles)}", documents)
    patch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    patch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])


def empty(room: Room, bucket: str) -> None:
    """Remove a bucket with all that is in it."""
    listed = room.root.list_object_versions(Bucket=bucket)
    for each in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
        room.root.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])  # type: ignore[index]
    room.root.delete_bucket(Bucket=bucket)


def test_a_finding_is_json(moved: Room) -> None:
    spoil(moved, moved.home())
    from rehouse.cli.output import to_json_types

    findings: list[AuditFinding] = look(moved).findings
    assert json.loads(json.dumps(to_json_types(findings)))[0]["expected"]


def test_versioning_that_a_repair_enables_has_to_settle(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.VERIFIED)
    home = room.sql("SELECT home_bucket FROM s3_migrations")[0][0]
    room.sql("UPDATE s3_migrations SET versioning_enabled_at = NULL")
    room.root.put_bucket_versioning(Bucket=home, VersioningConfiguration={"Status": "Suspended"})
    assert look(room, fix=True).is_well
    recorded = "SELECT versioning_enabled_at BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp()"
    assert room.sql(f"{recorded} FROM s3_migrations") == [(True,)]
