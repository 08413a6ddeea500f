"""What installations really hold: empty strings, one bucket for two tenants, times without a zone, pointers that come back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.data_room import Room

from rehouse.core.errors import Halt
from rehouse.core.lifecycle import Phase, Status
from rehouse.core.model import ListedObject
from rehouse.core.progress import Progress
from rehouse.operations.migrate import migrate
from rehouse.operations.steps import survey
from rehouse.operations.steps.copies import copy_documents
from rehouse.operations.steps.run import Order, run_inventory
from rehouse.operations.steps.walk import walk
from rehouse.operations.verify import verify_all


def test_an_empty_bucket_is_the_shared_one_an_empty_key_none(room: Room) -> None:
    room.documents("a")
    room.sql("UPDATE documents SET s3_bucket = '' WHERE id = 'a'")
    room.row("no-key", "")
    report = room.migrate()
    assert (report.status, report.this_run, report.documents_skipped, report.not_uploaded) == (
        Status.COMPLETED,
        1,
        1,
        0,
    )
    assert room.pointer("a")[0] == room.home()
    assert room.verify().is_well


def test_a_bucket_is_the_home_of_one_tenant_only(room: Room) -> None:
    room.sql("ALTER TABLE tenants DROP CONSTRAINT IF EXISTS tenants_aws_bucket_name_key")
    room.migrate(until=Phase.PROVISIONED)
    room.tenant("globex", home=room.home())
    room.documents("g", slug="globex")
    with pytest.raises(Halt, match="also the home of acme"):
        room.migrate("globex")
    assert room.pointer("g")[0] == room.shared


def test_a_pointer_to_anothers_source_is_contested(room: Room) -> None:
    room.documents("a")
    room.migrate()
    room.tenant("globex")
    room.row("g", "k/a", slug="globex", bucket=room.shared)
    report = room.migrate("globex")
    assert [each.code for each in report.outstanding] == ["other_tenants_object"]
    assert room.keys(room.home("globex")) == []


@pytest.mark.parametrize("step", ["list", "copy"])
@pytest.mark.parametrize("named", [True, False])
def test_another_tenants_claim_newer_than_the_listing_counts(room: Room, step: str, named: bool) -> None:
    """It appears after the objects were marked, or after the copies were made: nobody gets the object."""
    room.documents("a", "b")
    room.tenant("globex")
    room.documents("g", slug="globex")
    claims = iter([("late", "k/a")])

    def claimed(told: Progress) -> None:
        if told.step == step and (step == "list" or told.subject == "acme"):
            for document_id, key in claims:
                room.row(document_id, key, slug="globex", bucket=room.shared if named else None)

    with room.services() as services, run_inventory(services):
        survey.list_shared_buckets(services)
        watched = replace(services, report=claimed)
        claimed(Progress("", "list"))
        reports = [
            walk(watched, services.ledger.tenant(slug), Order(), migrate, is_listed=True).require_report()
            for slug in ("acme", "globex")
        ]
    assert [[each.code for each in report.outstanding] for report in reports] == [["other_tenants_object"]] * 2
    assert [room.pointer(each)[1] for each in ("a", "late")] == ["k/a", "k/a"]
    assert room.pointer("b") == (room.home(), "documents/b/b.txt")
    assert room.keys(room.home("globex")) == ["documents/g/g.txt"]
    assert ("documents/a/a.txt" in room.keys(room.home())) is (step == "copy")


def test_a_claim_newer_than_the_listing_counts_for_moved_ones(room: Room) -> None:
    room.documents("a")
    room.tenant("globex")
    with room.services() as services, run_inventory(services):
        survey.list_shared_buckets(services)
        walk(services, services.ledger.tenant("acme"), Order(), migrate, is_listed=True).require_report()
        room.row("late", "k/a", slug="globex", bucket=room.shared)
        report = walk(services, services.ledger.tenant("globex"), Order(), migrate, is_listed=True).require_report()
    assert [each.code for each in report.outstanding] == ["other_tenants_object"]
    assert room.keys(room.home("globex")) == []


def test_a_first_page_that_is_empty_is_no_empty_bucket(room: Room) -> None:
    found = ListedObject("k", "e" * 32, 7, "STANDARD", datetime.now(UTC))
    with room.services() as services:
        inventory = services.ledger.inventory()
        inventory.load(room.shared, iter([[], [], [found], []]))
        assert inventory.totals(room.shared) == (1, 7)
        inventory.load(room.shared, iter([[], []]))
        assert inventory.totals(room.shared) == (0, 0)


def test_in_a_live_home_what_the_application_put_there_stays(room: Room) -> None:
    """The application uploaded a new version to the home and has not written its row yet."""
    room.documents("a")
    room.migrate()
    room.documents("late")
    room.put("documents/late/late.txt", b"newer", bucket=room.home())
    report = room.migrate()
    assert [each.code for each in report.outstanding] == ["target_taken"]
    assert room.root.get_object(Bucket=room.home(), Key="documents/late/late.txt")["Body"].read() == b"newer"
    room.sql("UPDATE documents SET s3_bucket = %s, s3_key = 'documents/late/late.txt' WHERE id = 'late'", room.home())
    assert room.migrate().status is Status.COMPLETED
    assert room.body("late") == b"newer"


def test_times_without_a_zone_are_utc(room: Room) -> None:
    room.sql("ALTER TABLE documents ALTER uploaded_at TYPE timestamp")
    room.row("lost", "k/lost", bucket=room.shared)
    room.row("coming", "k/coming", bucket=room.shared, uploaded_at="now")
    report = room.migrate()
    assert [each.document_id for each in report.outstanding] == ["lost"]
    assert report.not_uploaded == 1


def test_a_home_that_is_only_promised_holds_nothing(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.PLANNED)
    report = room.verify()
    assert (report.not_yet_migrated, report.problems, report.is_well) == (1, [], False)


def test_one_unchecked_tenant_does_not_stop_the_others(room: Room) -> None:
    room.documents("a")
    room.migrate()
    room.tenant("globex")
    room.documents("g", slug="globex")
    room.migrate("globex")
    room.sql("UPDATE tenants SET aws_bucket_name = 'elsewhere' WHERE slug = 'acme'")
    with room.services(writes=False) as services:
        acme, globex = verify_all(services, services.ledger.tenants())
    assert acme.error
    assert not acme.is_well
    assert globex.is_well


def test_a_copy_that_never_holds_does_not_keep_the_others_back(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody overwrites one copy again and again."""
    room.documents("a", "b")
    room.migrate(until=Phase.PROVISIONED)
    numbers = iter(range(1000))

    def copy_then_damage(*arguments, **more):
        tally = copy_documents(*arguments, **more)
        room.put("documents/a/a.txt", b"damage %d" % next(numbers), bucket=room.home())
        return tally

    monkeypatch.setattr("rehouse.operations.steps.copies.copy_documents", copy_then_damage)
    report = room.migrate()
    assert room.pointer("b")[0] == room.home()
    assert room.pointer("a")[0] == room.shared
    assert report.status is Status.FAILED
    assert [each.document_id for each in report.outstanding] == ["a"]
