"""What is told of costs: the requests and bytes of --deep, and the storage that does not end with finish."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import HttpRelay

from rehouse.cli import output
from rehouse.cli.commands import verify as shown
from rehouse.operations import finish as finishing
from rehouse.operations import plan as planning
from rehouse.operations import verify as verifying
from rehouse.operations.buckets.shared_versioning import UNKNOWN, VERSIONED


def test_deep_counts_all_its_requests_and_bytes(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.documents("a", "bb", "ccc")
    room.migrate()
    with HttpRelay(room.server.port) as relay:
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url})
        with room.services(writes=False) as services:
            relay.seen.clear()  # opening asks for the bucket's region
            report = verifying.verify(services, services.ledger.tenant("acme"), deep=True)
        sent = [each.operation for each in relay.seen if each.operation != "sts"]
    assert (report.requests["GetObject"], report.requests["GetObjectTagging"], report.bytes_read) == (6, 6, 12)
    assert report.requests.total() == len(sent)
    assert report.cost
    shown.show_verification([report])
    printed = capsys.readouterr().out
    assert f"Requests: {len(sent):,}, about $0.00\n" in printed
    assert "GetObjectTagging" not in printed
    assert "Read: 12 B, free within the bucket's region, about $0.00 outside of it" in printed
    monkeypatch.setattr(output, "style", output.Style(verbose=True))
    shown.show_verification([report])
    assert "  GetObjectTagging: 6\n" in capsys.readouterr().out


def test_the_price_of_leaving_the_region_is_a_setting(room: Room) -> None:
    room.put("k/a", b"x" * 1024**2)
    room.row("a", "k/a", bucket=room.shared)
    room.migrate()
    prices = room.settings.prices.model_copy(update={"egress_gb": Decimal(512)})
    room.settings = room.settings.model_copy(update={"prices": prices})
    report = room.verify(deep=True)
    assert report.cost
    assert report.cost.egress_dollars == Decimal("1.00")


def test_without_deep_nothing_is_read(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.documents("a")
    room.migrate()
    report = room.verify()
    assert (report.bytes_read, report.requests["list"]) == (0, 1)
    shown.show_verification([report])
    assert "Read:" not in capsys.readouterr().out


def test_the_common_listing_is_counted_once(room: Room) -> None:
    room.tenant("globex")
    room.documents("a")
    room.documents("b", slug="globex")
    with room.services(writes=False) as services:
        both = verifying.verify_all(services, services.ledger.tenants())
        assert sum(each.requests["list"] for each in both) == services.bulk.requests["list"] == 1


def planned(room: Room, **more: Any) -> planning.Plan:
    with room.services(writes=False, **more) as services:
        return planning.plan(services, [services.ledger.tenant("acme")])


def finished(room: Room, *, dry_run: bool) -> finishing.FinishReport:
    with room.services() as services:
        return finishing.finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0), dry_run=dry_run)


def versioned(room: Room, status: str) -> None:
    configuration: Any = {"Status": status}
    room.root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration=configuration)


@pytest.mark.parametrize(("status", "is_told"), [(None, False), ("Suspended", False), ("Enabled", True)])
def test_doubled_storage_that_stays_is_told(room: Room, status: str | None, is_told: bool) -> None:
    if status:
        versioned(room, status)
    room.documents("a")
    expected = (VERSIONED.format(bucket=room.shared),) if is_told else ()
    assert planned(room).kept_versions == expected
    if status == "Suspended":  # finish refuses such a bucket
        return
    room.migrate()
    assert finished(room, dry_run=True).kept_versions == expected
    report = finished(room, dry_run=False)
    assert (report.sources_removed, report.kept_versions) == (1, expected)
    assert finished(room, dry_run=False).kept_versions == ()


def test_what_could_not_be_read_is_told_as_that(room: Room) -> None:
    room.documents("a")
    with HttpRelay(room.server.port) as relay:
        relay.before = _denied(room)
        assert planned(room, endpoint_url=relay.url).kept_versions == (UNKNOWN.format(bucket=room.shared),)


def _denied(room: Room) -> Callable[..., Any]:
    deny = refusal(403, "AccessDenied")
    return lambda request: (
        deny(request) if (request.operation, request.bucket) == ("GET versioning", room.shared) else None
    )
