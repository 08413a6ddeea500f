"""Plan: what would happen, what is wrong and what it costs, before anything changes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from tests.support.data_room import Room

from rehouse.cli.commands.plan import show_plan
from rehouse.config.sections import Prices
from rehouse.core.copies import Standing
from rehouse.core.lifecycle import Phase
from rehouse.core.saved_plan import Database
from rehouse.operations.plan import Plan, plan


def made(room: Room, *, orphans: bool = False) -> tuple[Plan, dict[str, int]]:
    """Return the plan of every tenant, and the requests that it took."""
    with room.services(writes=False) as services:
        return plan(services, services.ledger.tenants(), orphans=orphans), dict(services.bulk.requests)


def test_it_tells_documents_bytes_and_the_home(room: Room) -> None:
    room.documents("a", "bbb")
    room.row("elsewhere", None)
    planned, _ = made(room)
    (tenant,) = planned.tenants
    assert (tenant.documents_total, tenant.to_copy, tenant.to_copy_bytes) == (3, 2, 4)
    assert tenant.standings[Standing.NO_KEY] == 1
    assert tenant.home_bucket == f"{room.settings.bucket_prefix}-acme-xxxxxxxx"
    assert planned.is_well_otherwise and not planned.quarantined
    assert planned.shared == {room.shared: (2, 4)}


def test_what_would_stay_is_named_with_the_way_out(room: Room) -> None:
    room.documents("a", "ours")
    room.tenant("globex")
    room.row("theirs", "k/ours", slug="globex")
    room.row("lost", "k/lost")
    room.row("strange", "k/a", bucket="another-bucket")
    room.row("url", "https://example.com/a.pdf")
    room.root.put_object(Bucket=room.shared, Key="k/cold", Body=b"x", StorageClass="DEEP_ARCHIVE")
    room.row("cold", "k/cold")
    planned, _ = made(room)
    acme, globex = planned.tenants
    assert {each.document_id: each.code for each in acme.quarantined} == {
        "ours": "other_tenants_object",
        "lost": "missing_object",
        "strange": "unknown_bucket",
        "url": "invalid_key",
        "cold": "archived",
    }
    assert all(each.hint and each.message for each in acme.quarantined)
    assert [each.document_id for each in globex.quarantined] == ["theirs"]
    assert planned.quarantined


def test_the_plan_and_the_migration_agree(room: Room) -> None:
    room.documents("a", "b")
    room.row("lost", "k/lost")
    (tenant,) = made(room)[0].tenants
    report = room.migrate()
    assert (report.copied, report.bytes_copied) == (tenant.to_copy, tenant.to_copy_bytes)
    assert [each.document_id for each in report.outstanding] == [each.document_id for each in tenant.quarantined]


def test_orphans_only_if_asked(room: Room) -> None:
    room.documents("a")
    room.put("stray", b"123")
    assert made(room)[0].orphans == []
    assert made(room, orphans=True)[0].orphans == [(room.shared, "stray", 3)]
    room.migrate()
    assert made(room, orphans=True)[0].orphans == [(room.shared, "stray", 3)]


def test_a_look_lists_the_shared_bucket_once_and_writes_nothing(room: Room) -> None:
    room.documents("a")
    for slug in ("globex", "hooli"):
        room.tenant(slug)
        room.documents(f"{slug}-1", slug=slug)
    _, requests = made(room)
    assert requests == {"list": 1}
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)]


def test_rows_of_no_tenant_are_counted(room: Room) -> None:
    room.sql("INSERT INTO documents (id, original_name, filename, s3_key, size) VALUES ('x', 'x', 'x', 'k/x', 1)")
    assert made(room)[0].documents_without_tenant == 1


def test_after_the_copies_nothing_is_to_copy(room: Room) -> None:
    room.documents("a", "b")
    room.migrate(until=Phase.COPIED)
    (tenant,) = made(room)[0].tenants
    assert tenant.home_bucket == room.home()
    room.migrate()
    (tenant,) = made(room)[0].tenants
    assert (tenant.to_copy, tenant.standings[Standing.AT_HOME]) == (0, 2)


def test_the_dollars_are_those_of_the_price_list(room: Room) -> None:
    room.documents(*(f"d{number}" for number in range(10)))
    prices = Prices(copy_per_thousand=Decimal(1000), list_per_thousand=Decimal(0), head_per_thousand=Decimal(0))
    with room.services(writes=False, prices=prices) as services:
        planned = plan(services, services.ledger.tenants())
    assert planned.cost is not None
    assert planned.cost.requests_dollars == 10


def test_request_metrics_are_priced_where_they_are_wanted(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.tenant("globex")
    with room.services(writes=False, request_metrics=True) as services:
        planned = plan(services, services.ledger.tenants())
    assert planned.request_metrics_dollars == Decimal("9.60")
    show_plan(planned)
    assert "cost up to $9.60 a month: 16 custom metrics of CloudWatch" in capsys.readouterr().out
    assert made(room)[0].request_metrics_dollars is None


def test_a_database_that_may_not_be_identified_has_a_name(room: Room) -> None:
    name = room.connection.info.dbname
    with room.services(writes=False) as services:
        known = services.ledger.database()
        assert (known.name, str(known.system_identifier).isdigit()) == (name, True)
        room.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        room.sql("CREATE ROLE nobody_special")
        try:
            services.ledger.connection.execute("SET ROLE nobody_special")
            assert services.ledger.database() == Database(name, None)
            services.ledger.connection.execute("RESET ROLE")
        finally:
            room.sql("DROP ROLE nobody_special")


def test_a_home_that_is_not_there_ends_no_plan(room: Room) -> None:
    room.documents("a")
    room.row("lost", "k/lost")
    room.sql("UPDATE tenants SET aws_bucket_name = 'not-made-yet'")
    (tenant,) = made(room)[0].tenants
    assert (tenant.home_bucket, tenant.to_copy, [each.code for each in tenant.quarantined]) == (
        "not-made-yet",
        1,
        ["missing_object"],
    )
