"""The bucket of a tenant that was rolled back is removed: only what the ledger knows, and only when nothing speaks for it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from tests.support.data_room import Room
from tests.support.returns import at_home, drop, roll_back

from rehouse.core.bucket.documents import CLOSED, closed_policy, is_closed
from rehouse.core.errors import Refused, StorageRefused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.audit import audit
from rehouse.operations.buckets.drop import drop_bucket
from rehouse.s3.buckets import empty

EVERYTHING = "SELECT * FROM s3_migrations", "SELECT * FROM s3_migration_documents ORDER BY document_id"


@pytest.fixture
def back(room: Room) -> Room:
    """A room whose tenant was moved, wrote at home, and went back."""
    room.documents("a", "b", "c")
    room.migrate()
    room.put(at_home(room, "b"), b"newest", bucket=room.home())
    room.put("uploads/new", b"new", bucket=room.home())
    room.row("new", "uploads/new", bucket=room.home())
    room.root.delete_object(Bucket=room.home(), Key=at_home(room, "c"))
    room.root.put_object(Bucket=room.home(), Key=at_home(room, "c"), Body=b"c")
    assert roll_back(room).status is Status.ROLLED_BACK
    return room


def is_there(room: Room, bucket: str) -> bool:
    try:
        room.root.head_bucket(Bucket=bucket)
    except ClientError:
        return False
    return True


def versions(room: Room, bucket: str) -> int:
    answer = room.root.list_object_versions(Bucket=bucket)
    return len(answer.get("Versions", [])) + len(answer.get("DeleteMarkers", []))


def test_it_goes_with_everything_that_the_ledger_knows(back: Room) -> None:
    home = back.home()
    back.root.create_multipart_upload(Bucket=home, Key=at_home(back, "a"))
    count = versions(back, home)
    assert count >= 7
    made = drop(back)
    assert (made.bucket, made.versions, made.uploads, made.dry_run) == (home, count, 1, False)
    assert not is_there(back, home)
    assert [back.body(each) for each in ("a", "b", "c", "new")] == [b"a", b"newest", b"c", b"new"]
    assert back.sql("SELECT home_bucket, phase, status FROM s3_migrations") == [(None, "rolled_back", "rolled_back")]
    assert back.sql("SELECT reason FROM s3_migration_events WHERE event = 'bucket_dropped'") == [(home,)]


def test_the_bucket_can_be_kept_empty_and_closed(back: Room) -> None:
    home = back.home()
    assert drop(back, dry_run=True, keep_empty=True).kept_empty
    made = drop(back, keep_empty=True)
    assert made.kept_empty
    assert (is_there(back, home), versions(back, home), back.home()) == (True, 0, home)
    policy = json.loads(back.root.get_bucket_policy(Bucket=home)["Policy"])
    assert is_closed(policy, home, back.settings.region)
    assert back.sql("SELECT phase, status FROM s3_migrations") == [("rolled_back", "rolled_back")]
    assert back.sql("SELECT reason FROM s3_migration_events WHERE event = 'bucket_emptied'") == [(home,)]
    with back.services(writes=False) as services:
        assert audit(services).is_well
    assert drop(back, keep_empty=True).versions == 0
    assert back.migrate().status is Status.COMPLETED
    assert back.home() == home
    assert [back.body(each) for each in ("a", "b", "c", "new")] == [b"a", b"newest", b"c", b"new"]


def test_a_bucket_that_was_kept_can_still_be_removed(back: Room) -> None:
    home = back.home()
    drop(back, keep_empty=True)
    drop(back)
    assert not is_there(back, home)


def test_a_later_migration_makes_a_bucket_of_another_name(back: Room) -> None:
    home = back.home()
    drop(back)
    assert back.migrate().status is Status.COMPLETED
    assert back.home() != home
    assert [back.body(each) for each in ("a", "b", "c", "new")] == [b"a", b"newest", b"c", b"new"]


@pytest.mark.parametrize("what", ["object", "version", "marker", "upload", "overwritten"])
def test_what_the_ledger_does_not_know_keeps_everything(back: Room, what: str) -> None:
    home = back.home()
    if what == "upload":
        back.root.create_multipart_upload(Bucket=home, Key="unknown")
    else:
        back.put("unknown" if what != "overwritten" else at_home(back, "a"), b"unknown", bucket=home)
    if what == "version":
        back.root.delete_object(Bucket=home, Key="unknown")
    if what == "marker":
        [entry] = back.root.list_object_versions(Bucket=home, Prefix="unknown")["Versions"]
        back.root.delete_object(Bucket=home, Key="unknown")
        back.root.delete_object(Bucket=home, Key="unknown", VersionId=entry["VersionId"])
    count, before = versions(back, home), [back.sql(query) for query in EVERYTHING]
    with pytest.raises(Refused, match="does not know") as refusal:
        drop(back)
    assert ("documents/a/a.txt" if what == "overwritten" else "unknown") in refusal.value.message
    assert versions(back, home) == count
    assert [back.sql(query) for query in EVERYTHING] == before


def test_what_was_written_since_goes_back_then_the_bucket_goes(back: Room) -> None:
    back.put(at_home(back, "a"), b"late", bucket=back.home())
    with pytest.raises(Refused):
        drop(back)
    assert roll_back(back).late_writes == 1
    drop(back)
    assert back.body("a") == b"late"


def test_nobody_writes_into_it_any_more(back: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    home = back.home()
    back.put("unknown", b"x", bucket=home)
    before = json.loads(back.root.get_bucket_policy(Bucket=home)["Policy"])["Statement"]
    with pytest.raises(Refused):
        drop(back)
    after = json.loads(back.root.get_bucket_policy(Bucket=home)["Policy"])["Statement"]
    assert [each for each in after if each["Sid"] != CLOSED] == before
    with back.services() as services, pytest.raises(ClientError, match="AccessDenied"):
        services.control.client.put_object(Bucket=home, Key="late", Body=b"x")


@pytest.mark.parametrize("is_foreign", [False, True])
@pytest.mark.parametrize("dialect", ["aws", "ceph"])
def test_a_later_migration_opens_what_a_refusal_left_closed(room: Room, dialect: str, is_foreign: bool) -> None:
    room.documents("a")
    room.migrate(s3_dialect=dialect)
    home = room.home()
    assert roll_back(room).status is Status.ROLLED_BACK
    reader = {"Sid": "Reader", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject"}
    if is_foreign:
        statement = {**reader, "Resource": f"arn:aws:s3:::{home}/elsewhere/*"}
        room.root.put_bucket_policy(Bucket=home, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    room.put("unknown", b"x", bucket=home)
    with pytest.raises(Refused, match="does not know"):
        drop(room)
    with room.services(s3_dialect=dialect) as services, pytest.raises(ClientError, match="AccessDenied"):
        services.control.client.put_object(Bucket=home, Key="uploads/late", Body=b"x")
    room.documents("new")
    assert room.migrate(s3_dialect=dialect).status is Status.COMPLETED
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(home,)]
    with room.services(s3_dialect=dialect) as services:
        services.control.client.put_object(Bucket=home, Key="uploads/new", Body=b"x")
        policy = services.control.read_setting(home, "policy").value or {"Statement": []}
    sids = [each["Sid"] for each in policy["Statement"]]
    assert CLOSED not in sids
    assert ("Reader" in sids) is is_foreign
    assert bool([sid for sid in sids if sid != "Reader"]) is (dialect == "aws")


@pytest.mark.parametrize("step", ["versions", "uploads", "bucket", "ledger"])
def test_cut_off_at_any_step_it_goes_on(back: Room, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    home = back.home()
    with back.services(grace_days=0) as services:
        control = services.control
        found = list(empty.versions(control, home))
        if step == "versions":
            empty.delete_versions(control, home, [each for each in found if not each.is_current])
            empty.delete_versions(control, home, [each for each in found if each.is_current][:1])
        else:
            empty.delete_versions(control, home, found)
        if step in {"bucket", "ledger"}:
            empty.delete_bucket(control, home)
    drop(back)
    assert not is_there(back, home)
    assert back.sql("SELECT home_bucket FROM s3_migrations") == [(None,)]


def test_a_removal_that_fails_half_way_is_told_and_goes_on(back: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise StorageRefused(f"{back.home()} may not be removed", hint="ask for s3:DeleteBucket", code="AccessDenied")

    home = back.home()
    with monkeypatch.context() as patched:
        patched.setattr(empty, "delete_bucket", refused)
        with pytest.raises(StorageRefused):
            drop(back)
    told = back.sql("SELECT status, phase, error_message FROM s3_migrations")
    assert told == [("failed", "rolled_back", f"{home} may not be removed")]
    drop(back)
    assert not is_there(back, home)
    assert back.sql("SELECT status, error_message FROM s3_migrations") == [("rolled_back", None)]


def test_the_audit_leaves_a_closed_bucket_closed(back: Room) -> None:
    home = back.home()
    back.put("unknown", b"x", bucket=home)
    with pytest.raises(Refused):
        drop(back)
    for spoils in (False, True):
        if spoils:
            back.root.put_bucket_versioning(Bucket=home, VersioningConfiguration={"Status": "Suspended"})
        with back.services() as services:
            report = audit(services, fix=True)
            assert [each.setting for each in report.findings] == (["versioning"] if spoils else [])
            found = services.control.read_setting(home, "policy")
            assert is_closed(found.value, home, back.settings.region)


def test_a_dry_run_tells_and_changes_nothing(back: Room) -> None:
    home, policy = back.home(), back.root.get_bucket_policy(Bucket=back.home())["Policy"]
    before = [back.sql(query) for query in EVERYTHING]
    made = drop(back, dry_run=True)
    assert (made.bucket, made.versions, made.dry_run) == (home, versions(back, home), True)
    assert [back.sql(query) for query in EVERYTHING] == before
    assert back.root.get_bucket_policy(Bucket=home)["Policy"] == policy


def test_not_before_the_grace_is_over(back: Room) -> None:
    with pytest.raises(Refused, match="may be in use until"):
        drop(back, grace_days=7)
    past = datetime.now(UTC) - timedelta(days=8)
    back.sql("UPDATE s3_migration_documents SET flipped_at = %s", past)
    with pytest.raises(Refused, match="may be in use until"):
        drop(back, grace_days=7)
    back.sql("ALTER TABLE s3_migration_events DISABLE TRIGGER USER")
    back.sql("UPDATE s3_migration_events SET at = %s", past)
    assert drop(back, grace_days=7).versions


@pytest.mark.parametrize("phase", sorted({*Phase} - {Phase.ROLLED_BACK}))
def test_only_a_tenant_that_was_rolled_back(back: Room, phase: Phase) -> None:
    back.sql("UPDATE s3_migrations SET phase = %s", phase)
    with pytest.raises(Refused, match="no bucket to remove"):
        drop(back)


def test_not_while_rows_point_into_it(back: Room) -> None:
    back.tenant("globex")
    back.row("late", "x", bucket=back.home(), slug="globex")
    with pytest.raises(Refused, match="rows point into it"):
        drop(back)


def test_not_if_a_row_comes_while_it_is_closed(back: Room) -> None:
    home = back.home()
    count = versions(back, home)
    with back.services(grace_days=0) as services:
        apply, tenant = services.control.apply, services.ledger.tenant("acme")

        def applied(*arguments):
            back.row("late", at_home(back, "a"), bucket=home)
            return apply(*arguments)

        services.control.apply = applied  # type: ignore[method-assign]
        with pytest.raises(Refused, match="rows point into it"):
            drop_bucket(services, tenant, home)
    assert versions(back, home) == count


def test_never_a_home_that_is_anybody_s(back: Room) -> None:
    home = back.home()
    back.tenant("globex", home=home)
    with pytest.raises(Refused, match="globex"):
        drop(back)
    back.sql("UPDATE tenants SET aws_bucket_name = NULL")
    back.sql("UPDATE tenants SET aws_bucket_name = %s WHERE slug = 'acme'", home)
    with pytest.raises(Refused, match="own before the migration"):
        drop(back)
    back.sql("UPDATE tenants SET aws_bucket_name = NULL")
    back.sql("UPDATE s3_migrations SET home_bucket = %s", back.shared)
    with pytest.raises(Refused, match="shared bucket"):
        drop(back)
    assert is_there(back, home)


def test_the_closing_statement_is_added_once_and_recognised() -> None:
    other = {"Sid": "TLS", "Effect": "Deny"}
    once = closed_policy({"Version": "2012-10-17", "Statement": [other]}, "home", "eu-central-1")
    assert closed_policy(once, "home", "eu-central-1") == once
    assert once["Statement"][0] == other
    assert is_closed(once, "home", "eu-central-1")
    dressed = {**once["Statement"][1], "Principal": {"AWS": ["*"]}, "Action": ["s3:PutObject"]}
    assert is_closed({"Statement": dressed}, "home", "eu-central-1")


@pytest.mark.parametrize(
    "change",
    [
        {"Sid": "Other"},
        {"Effect": "Allow"},
        {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Principal": {"AWS": "arn:aws:iam::111122223333:user/nobody"}},
        {"Action": "s3:PutObjectAcl"},
        {"Resource": "arn:aws:s3:::home/temp/*"},
        {"Resource": "arn:aws:s3:::another/*"},
    ],
)
def test_a_statement_that_denies_less_closes_nothing(change: dict[str, object]) -> None:
    closing = closed_policy(None, "home", "eu-central-1")["Statement"][0]
    assert not is_closed({"Statement": [{**closing, **change}]}, "home", "eu-central-1")
    assert not is_closed(None, "home", "eu-central-1")
