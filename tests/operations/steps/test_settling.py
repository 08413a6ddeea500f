"""No home is switched before S3 has settled its versioning. Waits are counted, and each puts the ledger's clock back at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.data_room import Room
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import Interrupted
from rehouse.core.lifecycle import Phase
from rehouse.operations import migrate as migrating
from rehouse.operations.cutover import cutover
from rehouse.operations.plan import plan
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Order
from rehouse.operations.steps.settling import seconds_left

SETTLE = 900
ENABLED = "SELECT versioning_enabled_at FROM s3_migrations"


class Waits:
    """Services whose waits end at once: each puts the ledger's clock back by 20 minutes. `seen` is what the room looked like."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.seen: list[tuple[set[str], set[str]]] = []

    def sleep(self, seconds: float) -> None:
        homes = {home for (home,) in self.room.sql("SELECT aws_bucket_name FROM tenants") if home}
        self.seen.append((homes, set(self.room.states().values())))
        self.room.sql("UPDATE s3_migrations SET versioning_enabled_at = versioning_enabled_at - interval '20 minutes'")

    @contextmanager
    def services(self) -> Iterator[Services]:
        with self.room.services(versioning_settle_seconds=SETTLE) as services:
            services.control.sleep = self.sleep
            yield services

    def migrate(self, order: Order | None = None) -> TenantReport:
        with self.services() as services:
            return migrating.migrate_one(services, services.ledger.tenant("acme"), order or Order())


@pytest.fixture
def waits(room: Room) -> Waits:
    """Waits in the room."""
    return Waits(room)


def test_a_home_is_switched_only_when_it_has_settled(room: Room, waits: Waits, strict: StrictRelay) -> None:
    room.documents("a", "b")
    report = waits.migrate()
    assert report.phase is Phase.CUT_OVER
    assert waits.seen == [(set(), {"copied"})]
    home = room.home()
    operations = [each.operation for each in strict.seen if each.bucket == home]
    last = {operation: number for number, operation in enumerate(operations)}
    assert last["ListObjectsV2"] > last["CopyObject"]


def test_what_was_verified_before_the_wait_is_proven_after_it(room: Room, waits: Waits, strict: StrictRelay) -> None:
    room.documents("a")
    assert waits.migrate(Order(until=Phase.VERIFIED)).phase is Phase.VERIFIED
    assert waits.seen == []
    marks: list[int] = []
    sleep = waits.sleep
    waits.sleep = lambda seconds: (marks.append(len(strict.seen)), sleep(seconds))  # type: ignore[method-assign,assignment,func-returns-value]
    with waits.services() as services:
        assert cutover(services, services.ledger.tenant("acme")).phase is Phase.CUT_OVER
    after = [each for each in strict.seen[marks[0] :] if each.bucket == room.home()]
    assert next(each.operation for each in after) == "ListObjectsV2"


def test_a_bucket_that_had_versioning_counts_as_settled(room: Room, waits: Waits) -> None:
    room.root.create_bucket(Bucket="adopted-versioned")
    room.root.put_bucket_versioning(Bucket="adopted-versioned", VersioningConfiguration={"Status": "Enabled"})
    room.sql("UPDATE tenants SET aws_bucket_name = 'adopted-versioned'")
    room.documents("a")
    assert waits.migrate().phase is Phase.CUT_OVER
    assert waits.seen == []
    assert room.sql(ENABLED) == [(None,)]


def test_a_bucket_that_lacked_versioning_must_settle(room: Room, waits: Waits) -> None:
    room.root.create_bucket(Bucket="adopted-plain")
    room.sql("UPDATE tenants SET aws_bucket_name = 'adopted-plain'")
    room.documents("a")
    assert waits.migrate().phase is Phase.CUT_OVER
    assert len(waits.seen) == 1


def test_an_interrupted_wait_goes_on_from_the_recorded_time(room: Room, waits: Waits) -> None:
    room.documents("a")
    sleep = waits.sleep

    def stop(seconds: float) -> None:
        raise Interrupted("stopped", hint="again")

    waits.sleep = stop  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        waits.migrate()
    recorded = room.sql(ENABLED)
    assert room.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    with pytest.raises(Interrupted):
        waits.migrate()
    assert room.sql(ENABLED) == recorded
    waits.sleep = sleep  # type: ignore[method-assign]
    assert waits.migrate().phase is Phase.CUT_OVER
    assert len(waits.seen) == 1


def test_a_run_killed_before_the_answer_waits_in_full_again(room: Room, waits: Waits) -> None:
    class Killed(BaseException):
        pass

    room.documents("a")
    with waits.services() as services:
        apply = services.control.apply

        def killed(bucket: str, setting: str, document: object) -> bool:
            done = apply(bucket, setting, document)
            if setting == "versioning":
                raise Killed
            return done

        services.control.apply = killed  # type: ignore[method-assign]
        with pytest.raises(Killed):
            migrating.migrate_one(services, services.ledger.tenant("acme"))
    assert room.sql("SELECT versioning_enabled_at > clock_timestamp() FROM s3_migrations") == [(True,)]
    with waits.services() as services:
        tenant = services.ledger.tenant("acme")
        migrating.migrate_one(services, tenant, Order(until=Phase.PROVISIONED))
        migration = services.ledger.migration(tenant)
        assert migration is not None
        assert SETTLE - 60 < seconds_left(services, migration) <= SETTLE
    assert waits.migrate().phase is Phase.CUT_OVER


def test_all_tenants_are_copied_before_the_first_wait(room: Room, waits: Waits, strict: StrictRelay) -> None:
    room.documents("a")
    for slug in ("beta", "gamma"):
        room.tenant(slug)
        room.documents(slug, slug=slug)
    with waits.services() as services:
        reports = migrating.migrate_all(services, services.ledger.tenants())
    assert [(each.phase, each.this_run, each.copied, each.errors) for each in reports] == [
        (Phase.CUT_OVER, 1, 1, 0)
    ] * 3
    assert waits.seen == [(set(), {"copied"})]  # one wait for all three
    operations = [each.operation for each in strict.seen]
    assert operations.count("PUT bucket") == 4
    assert max(i for i, each in enumerate(operations) if each == "PUT bucket") < operations.index("CopyObject")
    assert operations.count("PUT versioning") == 3
    provisioned = [each.bucket for each in strict.seen if each.operation == "GET versioning"]
    assert len(provisioned) == len(set(provisioned))  # a later stage does not provision again


def test_a_tenant_that_fails_takes_part_in_no_later_stage(room: Room, waits: Waits, strict: StrictRelay) -> None:
    room.documents("a")
    room.tenant("beta", home=room.shared + "-nobodys")
    strict.elsewhere.add(room.shared + "-nobodys")
    with waits.services() as services:
        failed = {each.slug: each for each in migrating.migrate_all(services, services.ledger.tenants())}
    assert failed["acme"].phase is Phase.CUT_OVER
    assert failed["beta"].error
    assert len([each for each in strict.seen if each.bucket == room.shared + "-nobodys"]) <= 3


def test_the_plan_tells_how_long(room: Room) -> None:
    with room.services(writes=False, versioning_settle_seconds=SETTLE) as services:
        assert plan(services, services.ledger.tenants()).versioning_settle_seconds == SETTLE
    with room.services(writes=False) as services:
        assert plan(services, services.ledger.tenants()).versioning_settle_seconds == 0
