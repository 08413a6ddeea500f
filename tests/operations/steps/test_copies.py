"""Copy: what is at the target already, what changed, what fails; and that each document costs one request."""

from __future__ import annotations

import pytest
from tests.support.data_room import Room, md5
from tests.support.http_relay import HttpRelay, Reply, Request

from rehouse.core.errors import StorageRefused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.migrate import migrate_all
from rehouse.operations.report import GUARD_UNKNOWN, NOT_GUARDED
from rehouse.operations.steps.copies import copy_documents
from rehouse.operations.steps.guarded_copies import SMALL_BYTES


def home_of(room: Room) -> str:
    """Provision, and return the home."""
    room.migrate(until=Phase.PROVISIONED)
    return room.home()


def test_one_request_a_document(room: Room) -> None:
    room.documents(*(f"d{number}" for number in range(30)))
    with room.services() as services:
        from rehouse.operations.migrate import migrate_one
        from rehouse.operations.steps.run import Order

        report = migrate_one(services, services.ledger.tenant("acme"), Order(Phase.COPIED))
        assert report.copied == 30
        # One finished copy is repeated, once a run: is the condition on the target honoured?
        assert services.bulk.requests["copy"] == 31
        assert services.bulk.requests["head"] == 0


def test_a_run_of_large_documents_does_not_know_its_guard(room: Room) -> None:
    room.put("k/large", b"x" * (SMALL_BYTES + 1))
    room.row("large", "k/large")
    report = room.migrate()
    assert (report.copied, GUARD_UNKNOWN in report.notes, NOT_GUARDED in report.not_offered) == (1, True, False)
    report = room.migrate()
    assert (report.copied, GUARD_UNKNOWN in report.notes) == (0, False)


def test_one_small_copy_of_any_tenant_tells_for_all(room: Room) -> None:
    room.put("k/large", b"x" * (SMALL_BYTES + 1))
    room.row("large", "k/large")
    room.tenant("globex")
    room.documents("small", slug="globex")
    with room.services() as services:
        reports = migrate_all(services, services.ledger.tenants())
    assert [(report.slug, report.copied) for report in reports] == [("acme", 1), ("globex", 1)]
    assert not any(GUARD_UNKNOWN in report.notes for report in reports)
    assert all(NOT_GUARDED in report.not_offered for report in reports), "this server ignores the condition"


def test_an_endpoint_that_says_it_lacks_the_condition_is_named(room: Room) -> None:
    room.put("k/large", b"x" * (SMALL_BYTES + 1))
    room.row("large", "k/large")

    def unconditional(request: Request) -> Reply | None:
        is_conditional = request.operation == "CopyObject" and b"\r\nif-none-match:" in request.head.lower()
        return Reply(501, b"<Error><Code>NotImplemented</Code></Error>") if is_conditional else None

    with HttpRelay(room.server.port) as relay:
        relay.before = unconditional
        report = room.migrate(endpoint_url=relay.url)
    assert report.status is Status.COMPLETED
    assert (NOT_GUARDED in report.not_offered, GUARD_UNKNOWN in report.notes) == (True, False)


def test_one_that_honours_the_condition_is_not(room: Room) -> None:
    room.documents("small")
    copies: list[str] = []

    def honoured(request: Request) -> Reply | None:
        if request.operation == "CopyObject":
            copies.append(request.path)
        is_second = copies.count(request.path) > 1
        return Reply(412, b"<Error><Code>PreconditionFailed</Code></Error>") if is_second else None

    with HttpRelay(room.server.port) as relay:
        relay.before = honoured
        report = room.migrate(endpoint_url=relay.url)
    assert report.status is Status.COMPLETED
    assert (NOT_GUARDED in report.not_offered, GUARD_UNKNOWN in report.notes) == (False, False)


def test_the_same_bytes_at_the_target_are_adopted(room: Room) -> None:
    room.documents("a")
    room.put("documents/a/a.txt", b"a", bucket=home_of(room))
    report = room.migrate()
    assert (report.copied, report.adopted, report.status) == (0, 1, Status.COMPLETED)
    assert room.body("a") == b"a"


def test_other_bytes_at_the_target_are_replaced(room: Room) -> None:
    room.documents("a")
    room.put("documents/a/a.txt", b"something else", bucket=home_of(room))
    report = room.migrate()
    assert (report.copied, report.adopted, report.status) == (1, 0, Status.COMPLETED)
    assert room.body("a") == b"a"


def test_a_target_older_than_its_source_is_not_adopted(room: Room) -> None:
    """The source was written again with the same bytes: its headers may be others now."""
    home = home_of(room)
    room.put("documents/a/a.txt", b"a", bucket=home)
    room.documents("a")
    room.root.put_object(Bucket=room.shared, Key="k/a", Body=b"a", ContentType="text/csv")
    report = room.migrate()
    assert (report.copied, report.adopted) == (1, 0)
    assert room.root.head_object(Bucket=home, Key="documents/a/a.txt")["ContentType"] == "text/csv"


def test_a_copy_whose_source_changed_is_made_again(room: Room) -> None:
    room.documents("a", "b")
    room.migrate(until=Phase.VERIFIED)
    room.put("k/a", b"a, newer")
    report = room.migrate()
    assert (report.copied, report.status) == (1, Status.COMPLETED)
    assert room.body("a") == b"a, newer"


def test_a_source_overwritten_since_its_listing_is_copied(room: Room) -> None:
    room.documents("a", "b")
    home_of(room)
    with room.services() as services:
        _, migration = room.begun(services)
        from rehouse.operations.steps import survey

        survey.list_shared_buckets(services)
        room.put("k/a", b"a, meanwhile")
        tally = copy_documents(services, migration, "acme")
    assert (tally.copied, tally.failed) == (2, 0)
    lines = room.sql("SELECT source_etag, target_etag FROM s3_migration_documents WHERE document_id = 'a'")
    assert lines == [(md5(b"a, meanwhile"), md5(b"a, meanwhile"))]


def test_a_source_removed_since_its_listing_is_quarantined(room: Room) -> None:
    room.documents("a", "b")
    home_of(room)
    with room.services() as services:
        _, migration = room.begun(services)
        from rehouse.operations.steps import survey

        survey.list_shared_buckets(services)
        room.root.delete_object(Bucket=room.shared, Key="k/a")
        tally = copy_documents(services, migration, "acme")
    assert tally.copied == 1
    assert room.states() == {"a": "quarantined", "b": "copied"}


def test_a_source_overwritten_without_end_waits_for_a_run(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.documents("a", "b")
    home_of(room)
    numbers = iter(range(1000))
    with room.services() as services:
        engine = services.engine.copy

        def copy(tasks):
            for task in tasks:
                room.put("k/a", b"again %d" % next(numbers))
                yield from engine([task])

        monkeypatch.setattr(services.engine, "copy", copy)
        _, migration = room.begun(services)
        tally = copy_documents(services, migration, "acme")
    assert (tally.copied, tally.failed) == (1, 1)
    assert room.states() == {"a": "planned", "b": "copied"}
    assert room.migrate().status is Status.COMPLETED
    assert room.body("a").startswith(b"again")


@pytest.mark.parametrize(
    ("key", "reason"),
    [("s3://elsewhere/a", "invalid_key"), ("../up", "invalid_key"), ("k" * 1000, "missing_object")],
)
def test_keys_that_hold_nothing(room: Room, key: str, reason: str) -> None:
    room.documents("a")
    room.row("bad", key)
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("bad", reason)]
    assert report.this_run == 1


def test_a_bucket_that_nobody_told_of(room: Room) -> None:
    room.documents("a")
    room.row("bad", "k/a", bucket="some-other-bucket")
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("bad", "unknown_bucket")]
    assert room.pointer("bad") == ("some-other-bucket", "k/a")


def test_an_archived_object_waits_for_its_restoration(room: Room) -> None:
    room.root.put_object(Bucket=room.shared, Key="k/cold", Body=b"x", StorageClass="GLACIER")
    room.row("cold", "k/cold")
    assert [each.code for each in room.migrate().outstanding] == ["archived"]


def test_the_storage_class_is_kept(room: Room) -> None:
    room.root.put_object(Bucket=room.shared, Key="k/a", Body=b"x", StorageClass="STANDARD_IA")
    room.row("a", "k/a")
    room.migrate()
    assert room.root.head_object(Bucket=room.home(), Key="documents/a/a.txt")["StorageClass"] == "STANDARD_IA"


def test_a_missing_shared_bucket_is_no_missing_objects(room: Room) -> None:
    room.documents("a")
    settings = {"shared_bucket": ("no-such-bucket-anywhere",)}
    with pytest.raises(StorageRefused, match="no-such-bucket-anywhere"):
        room.migrate(**settings)
    assert room.pointer("a") == (room.shared, "k/a")


def test_several_shared_buckets(room: Room) -> None:
    second = f"{room.shared}-second"
    room.root.create_bucket(Bucket=second)
    room.documents("a")
    room.put("k/b", b"b", bucket=second)
    room.row("b", "k/b", bucket=second)
    assert room.migrate(shared_bucket=(room.shared, second)).status is Status.COMPLETED
    assert (room.body("a"), room.body("b")) == (b"a", b"b")
