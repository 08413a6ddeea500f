"""A missing object whose key is there in another spelling: it is named, in every report, and nobody is told to delete the row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.data_room import Room

from rehouse.core.copies import decide
from rehouse.ledger.inventory import Inventory
from rehouse.operations import status as standing
from rehouse.operations.buckets.homes import stand_in_migration
from rehouse.operations.plan import Plan, plan
from rehouse.operations.services import Services
from rehouse.operations.steps import near_keys, survey

SPELLINGS = {
    "nfc": ("k/caf\u00e9.pdf", "k/cafe\u0301.pdf"),
    "plus": ("k/my+file.pdf", "k/my file.pdf"),
    "percent": ("k/100%25%20sure.pdf", "k/100% sure.pdf"),
    "slash": ("/k/slash.pdf", "k/slash.pdf"),
    "prefix": ("k/prefix.pdf", "media/k/prefix.pdf"),
    "prefixed": ("k/one+more.pdf", "media/k/one more.pdf"),
}


def planned(room: Room) -> tuple[Plan, dict[str, int]]:
    with room.services(writes=False) as services:
        return plan(services, services.ledger.tenants()), dict(services.bulk.requests)


def misspell(room: Room, **spellings: tuple[str, str]) -> None:
    for document_id, (key, there) in spellings.items():
        room.put(there)
        room.row(document_id, key)


def test_the_plan_names_the_object(room: Room) -> None:
    misspell(room, **SPELLINGS, bucket=(f"{room.shared}/k/bucket.pdf", "k/bucket.pdf"))
    (tenant,) = planned(room)[0].tenants
    assert {each.document_id: each.code for each in tenant.quarantined} == dict.fromkeys(
        [*SPELLINGS, "bucket"], "other_spelling"
    )
    for each in tenant.quarantined:
        there = SPELLINGS.get(each.document_id, ("", "k/bucket.pdf"))[1]
        assert repr(there) in each.message or ascii(there) in each.message
        assert "delete the row" not in each.hint


def test_a_url_stays_an_invalid_key_and_its_object_is_named(room: Room) -> None:
    misspell(room, url=(f"https://{room.shared}.s3.amazonaws.com/k/a%20b.pdf?X-Amz-Expires=60", "k/a b.pdf"))
    (tenant,) = planned(room)[0].tenants
    assert [(each.code, each.message.rpartition("points to is at ")[2]) for each in tenant.quarantined] == [
        ("invalid_key", "'k/a b.pdf'")
    ]


def test_an_object_that_a_row_points_to_is_never_named(room: Room) -> None:
    room.tenant("globex")
    room.put("k/a b.pdf")
    room.row("theirs", "k/a b.pdf", slug="globex", bucket=room.shared)
    room.row("ours", "k/a%20b.pdf")
    assert [each.code for each in planned(room)[0].tenants[0].quarantined] == ["missing_object"]
    room.migrate("globex")  # its row points elsewhere now, and the object is still the source of that document
    assert [each.code for each in planned(room)[0].tenants[0].quarantined] == ["missing_object"]


def test_a_run_records_it_and_status_and_verify_tell_it(room: Room) -> None:
    misspell(room, **SPELLINGS)
    report = room.migrate()
    assert {each.document_id: each.code for each in report.outstanding} == dict.fromkeys(SPELLINGS, "other_spelling")
    with room.services(writes=False) as services:
        told = {each.document_id: each for each in standing.errors(services.ledger, services.ledger.tenants())}
    assert "'k/my file.pdf'" in (told["plus"].message or "")
    assert "delete the row" not in told["plus"].hint
    problems = {each.document_id: each for each in room.verify().problems}
    assert {each.finding for each in problems.values()} == {"missing"}
    assert "'media/k/prefix.pdf'" in problems["prefix"].message


def test_the_corrected_row_moves(room: Room) -> None:
    misspell(room, plus=SPELLINGS["plus"])
    room.migrate()
    room.sql("UPDATE documents SET s3_key = 'k/my file.pdf' WHERE id = 'plus'")
    assert room.migrate().outstanding == []


def test_without_a_listing_a_few_heads_find_it(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_keys, "HEADS_A_TENANT", 8)
    room.documents("a")
    misspell(room, percent=SPELLINGS["percent"], plus=SPELLINGS["plus"])
    room.row("one", "k/lost + one.pdf")
    room.row("two", "k/lost + two.pdf")
    with room.services() as services:
        before = services.bulk.requests["head"]
        report = reasons_by_heads(services)
        asked = services.bulk.requests["head"] - before
    assert report["percent"] == "other_spelling"
    assert asked == 5 + 8
    assert sorted(report) == ["one", "percent", "plus", "two"]


def reasons_by_heads(services: Services) -> dict[str, str]:
    """Decide on the documents of `acme` where nothing was listed; return the reasons."""
    migration = stand_in_migration(services.ledger.tenant("acme"), services.settings)
    places = services.places(migration.home_bucket)
    (page,) = services.ledger.documents(migration).pages_outside(100)
    looked, faults = survey.head_missing_sources(services, page, places)
    named = near_keys.name_near_objects(services, looked, places, faults)
    now, window = datetime.now(UTC), timedelta(0)
    decisions = {each.document.id: decide(each, places, now=now, upload_window=window) for each in named}
    return {document_id: str(each.reason) for document_id, each in decisions.items() if each.reason}


def test_any_number_of_missing_objects_costs_a_few_scans(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        room.row(f"lost-{number}", f"k/lost-{number}.pdf")
    scans = []
    ending_in = (
        near_keys.Services.__dataclass_fields__
    )  # the services are a dataclass; the inventory is made anew each time
    assert ending_in

    real = Inventory.find_by_ending
    monkeypatch.setattr(Inventory, "find_by_ending", lambda self, *given: scans.append(given) or real(self, *given))
    with room.services(writes=False, batch_size=2) as services:
        plan(services, services.ledger.tenants())
    assert len(scans) == near_keys.SCANS
