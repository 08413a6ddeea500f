"""Through a relay as strict as S3: conditions on a copy's target hold, and a bucket of another account is none of ours."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.conditions import TARGET, adopted, appearing, unconditional
from tests.support.data_room import Room
from tests.support.returns import drop
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import StorageRefused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.audit import audit
from rehouse.operations.doctor import examine, exit_status
from rehouse.operations.finish import finish_one
from rehouse.operations.migrate import migrate_one
from rehouse.operations.plan import plan
from rehouse.operations.report import NOT_GUARDED
from rehouse.operations.rollback import roll_back_one
from rehouse.operations.steps.guarded_copies import SMALL_BYTES
from rehouse.s3.buckets.delete_objects import NEVER_WAS


def writes(relay: StrictRelay) -> list[str]:
    """Return what was asked of S3 and is not a look."""
    asked = [each for each in relay.seen if each.operation != "sts"]
    return [f"{each.operation} {each.path}" for each in asked if each.method not in {"GET", "HEAD"}]


def tables(room: Room) -> list[tuple[str, ...]]:
    return room.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")


def test_there_late_back_there_again_and_finished(room: Room, strict: StrictRelay) -> None:
    room.documents("a", "b", "c")
    assert room.migrate().status is Status.COMPLETED
    room.put("k/b", b"late")
    assert (room.migrate().late_writes, room.body("b")) == (1, b"late")
    room.put("documents/c/c.txt", b"newer at home", bucket=room.home())
    with room.services() as services:
        back = roll_back_one(services, services.ledger.tenant("acme"))
    assert (back.status, back.errors, room.body("c")) == (Status.ROLLED_BACK, 0, b"newer at home")
    again = room.migrate()
    assert (again.status, again.errors) == (Status.COMPLETED, 0)
    assert room.verify(deep=True).is_well
    with room.services() as services:
        ended = finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))
    assert (ended.phase, ended.errors) == (Phase.FINISHED, 0)
    assert [room.body(each) for each in "abc"] == [b"a", b"late", b"newer at home"]


def test_what_looks_and_what_drops_a_bucket_names_the_owner_too(room: Room, strict: StrictRelay) -> None:
    room.documents("a")
    room.migrate()
    with room.services(writes=False) as services:
        plan(services, services.ledger.tenants())
        audit(services, fix=False)
    with room.services() as services:
        roll_back_one(services, services.ledger.tenant("acme"))
    home = room.home()
    assert drop(room).versions
    assert home not in [each["Name"] for each in room.root.list_buckets()["Buckets"]]


def test_the_probe_sees_every_condition(room: Room, strict: StrictRelay) -> None:
    checks = list(examine(room.settings, probe=True))
    details = {each.subject: each.message for each in checks if each.subject.startswith("probe: conditions")}
    assert exit_status(checks) == 0
    assert strict.unowned == []
    assert "not guarded" not in details["probe: conditions on the target"]


def test_a_guarded_target_needs_no_word_in_the_report(room: Room, strict: StrictRelay) -> None:
    room.documents("a", "b")
    with room.services() as services:
        report = migrate_one(services, services.ledger.tenant("acme"))
        assert services.guard.absent.is_honoured is True
        assert services.bulk.requests["copy"] == 3
    assert report.status is Status.COMPLETED
    assert NOT_GUARDED not in report.not_offered


def test_an_unconditional_copy_is_made_and_told(room: Room, strict: StrictRelay) -> None:
    """Also where no document is small enough to be copied twice."""
    room.put("k/a", bytes(SMALL_BYTES + 1))
    room.row("a", "k/a", bucket=room.shared)
    strict.meanwhile = unconditional
    report = room.migrate()
    assert report.status is Status.COMPLETED
    assert NOT_GUARDED in report.not_offered


def test_without_the_relay_the_report_says_not_guarded(room: Room) -> None:
    room.documents("a")
    assert NOT_GUARDED in room.migrate().not_offered


def test_what_appears_in_a_live_home_is_never_covered(room: Room, strict: StrictRelay) -> None:
    home = adopted(room)
    room.documents("a", "b")
    strict.meanwhile = appearing(room, home, times=1)
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "target_taken")]
    assert room.root.get_object(Bucket=home, Key=TARGET)["Body"].read() == b"somebody's, 0"
    assert len(room.root.list_object_versions(Bucket=home, Prefix=TARGET)["Versions"]) == 1
    assert room.pointer("a") == (room.shared, "k/a")
    assert room.pointer("b")[0] == home


def test_what_appears_at_a_target_is_covered_only_once_seen(room: Room, strict: StrictRelay) -> None:
    room.documents("a")
    room.migrate(until=Phase.PROVISIONED)
    strict.meanwhile = appearing(room, room.home(), times=1)
    assert room.migrate().status is Status.COMPLETED
    assert room.body("a") == b"a"
    versions = room.root.list_object_versions(Bucket=room.home(), Prefix=TARGET)["Versions"]
    assert sorted(each["Size"] for each in versions) == [1, len(b"somebody's, 0")]


def test_what_keeps_appearing_stays_and_the_document_waits(room: Room, strict: StrictRelay) -> None:
    room.documents("a", "b")
    room.migrate(until=Phase.PROVISIONED)
    strict.meanwhile = appearing(room, room.home(), times=1000)
    report = room.migrate(until=Phase.COPIED)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "PreconditionFailed")]
    assert room.root.get_object(Bucket=room.home(), Key=TARGET)["Body"].read().startswith(b"somebody's")
    assert room.pointer("a") == (room.shared, "k/a")
    strict.meanwhile = lambda request: None
    assert room.migrate().status is Status.COMPLETED
    assert room.body("a") == b"a"


def test_a_home_of_another_account_is_refused(room: Room, strict: StrictRelay) -> None:
    home = adopted(room)
    room.documents("a")
    strict.elsewhere.add(home)
    with pytest.raises(StorageRefused, match=f"{home}.*another AWS account") as refusal:
        room.migrate()
    assert "the account that owns it" in (refusal.value.hint or "")
    assert writes(strict) == []
    assert room.pointer("a") == (room.shared, "k/a")


def test_a_home_lost_to_another_account_is_refused(room: Room, strict: StrictRelay) -> None:
    room.documents("a", "b")
    room.migrate(until=Phase.PROVISIONED)
    strict.elsewhere.add(room.home())
    strict.seen.clear()
    with pytest.raises(StorageRefused, match="another AWS account"):
        room.migrate()
    assert writes(strict) == []
    assert room.keys(room.home()) == []


def test_a_shared_bucket_of_another_account_is_refused(room: Room, strict: StrictRelay) -> None:
    room.documents("a")
    strict.elsewhere.add(room.shared)
    before = tables(room)
    with pytest.raises(StorageRefused, match=f"{room.shared}.*another AWS account") as refusal:
        room.migrate()
    assert "the account that owns it" in (refusal.value.hint or "")
    assert writes(strict) == []
    assert tables(room) == before


def test_nothing_is_removed_while_the_home_is_another_accounts(room: Room, strict: StrictRelay) -> None:
    room.documents("a")
    room.migrate()
    strict.elsewhere.add(room.home())
    strict.seen.clear()
    with room.services() as services, pytest.raises(StorageRefused, match=room.home()):
        finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))
    # What looks like a removal asks, with a key that never was, whether conditions are looked at.
    assert all(each.startswith("POST delete") for each in writes(strict))
    assert all(NEVER_WAS.encode() in each.body for each in strict.seen if each.operation == "POST delete")
    assert room.keys(room.shared) == ["k/a"]
