"""Only what failed before: by HEAD instead of a listing, of one code if one is given; all else is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.support.data_room import Room

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase, Status
from rehouse.core.model import ListedObject
from rehouse.operations.migrate import migrate_all, migrate_one
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Order


@pytest.fixture
def failed(room: Room) -> Room:
    """A room with `a` at home, `lost` without an object and `foreign` in a bucket that nobody knows."""
    room.documents("a")
    room.row("lost", "k/lost", bucket=room.shared)
    room.row("foreign", "k/foreign", bucket="nobody-knows-this")
    assert room.migrate().status is Status.FAILED
    return room


def listed(services: Services) -> list[str]:
    """Return the list in which the names of the buckets will be that are listed as a whole."""
    names: list[str] = []
    listing = services.bulk.list

    def counted(bucket: str, **more: Any) -> Iterator[Sequence[ListedObject]]:
        if not more:
            names.append(bucket)
        return listing(bucket, **more)

    services.bulk.list = counted  # type: ignore[method-assign]
    return names


def again(room: Room, code: str | None = None) -> tuple[TenantReport, list[str]]:
    """Run what failed again; return the report and the buckets that were listed."""
    with room.services() as services:
        names = listed(services)
        order = Order(only_failed=True, code=code)
        return migrate_one(services, services.ledger.tenant("acme"), order), names


def test_what_was_put_right_moves_and_nothing_is_listed(failed: Room) -> None:
    failed.put("k/lost", b"found")
    report, names = again(failed)
    assert (report.this_run, [each.document_id for each in report.outstanding]) == (1, ["foreign"])
    assert failed.body("lost") == b"found"
    assert failed.shared not in names


def test_only_failures_of_one_code(failed: Room) -> None:
    failed.put("k/lost", b"found")
    failed.sql("UPDATE documents SET s3_bucket = %s WHERE id = 'foreign'", failed.shared)
    failed.put("k/foreign", b"ours")
    report, _ = again(failed, "unknown_bucket")
    assert (report.this_run, failed.pointer("foreign")[0], failed.pointer("lost")[0]) == (
        1,
        failed.home(),
        failed.shared,
    )
    assert [each.document_id for each in report.outstanding] == ["lost"]


def test_a_code_that_nothing_failed_with(failed: Room) -> None:
    failed.put("k/lost", b"found")
    report, _ = again(failed, "SlowDown")
    assert (report.this_run, report.copied, len(report.outstanding)) == (0, 0, 2)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("SlowDwon", "did you mean SlowDown?"),
        ("missing-object", "did you mean missing_object?"),
        ("MISSING_OBJECT", "did you mean missing_object?"),
        ("oddcode", "did you mean OddCode?"),
        ("planned", "the documents that failed have OddCode, unknown_bucket; `rehouse status --errors` lists them"),
    ],
)
def test_a_code_that_does_not_exist_is_refused(failed: Room, code: str, hint: str) -> None:
    failed.sql("UPDATE s3_migration_documents SET error_code = 'OddCode' WHERE document_id = 'lost'")
    before = failed.sql("SELECT run_id, status FROM s3_migrations")
    with failed.services() as services:
        orders = Order(only_failed=True, code=code)
        for run in (lambda: migrate_all(services, services.ledger.tenants(), orders), lambda: again(failed, code)):
            with pytest.raises(Refused, match=f"--code '{code}' matches no failed document") as refused:
                run()
            assert refused.value.hint == hint
    assert failed.sql("SELECT run_id, status FROM s3_migrations") == before


def test_a_code_of_s3_that_only_the_ledger_knows(failed: Room) -> None:
    failed.sql("UPDATE s3_migration_documents SET error_code = 'OddCode' WHERE document_id = 'lost'")
    failed.put("k/lost", b"found")
    assert again(failed, "OddCode")[0].this_run == 1


def test_what_did_not_fail_is_left_to_a_run_over_everything(failed: Room) -> None:
    failed.documents("new")
    failed.put("k/lost", b"found")
    report, _ = again(failed)
    assert (report.this_run, failed.pointer("new")[0]) == (1, failed.shared)
    failed.sql("DELETE FROM documents WHERE id = 'foreign'")
    assert failed.migrate().this_run == 1
    assert failed.sql("SELECT status FROM s3_migrations") == [("completed",)]


def test_a_failed_late_write_is_looked_at_and_no_other_source(failed: Room) -> None:
    failed.sql("DELETE FROM documents WHERE id IN ('lost', 'foreign')")
    failed.documents("b")
    failed.migrate()
    failed.put("k/a", b"late a")
    failed.put("k/b", b"late b")
    failed.sql("UPDATE s3_migration_documents SET error_code = 'SlowDown' WHERE document_id = 'a'")
    report, names = again(failed, "SlowDown")
    assert (report.late_writes, failed.body("a"), failed.body("b")) == (1, b"late a", b"b")
    assert failed.shared not in names
    assert failed.migrate().late_writes == 1


def test_before_every_document_was_looked_at_once_it_is_refused(room: Room) -> None:
    room.documents("a")
    with pytest.raises(Refused, match="does not know which failed"):
        again(room)
    room.migrate(until=Phase.PROVISIONED)
    with pytest.raises(Refused, match="does not know which failed"):
        again(room)
    assert room.states() == {}


def test_for_all_tenants(failed: Room) -> None:
    failed.tenant("globex")
    failed.put("k/lost", b"found")
    with failed.services() as services:
        names = listed(services)
        reports = migrate_all(services, services.ledger.tenants(), Order(only_failed=True))
    assert failed.shared not in names
    assert [(each.slug, each.this_run, bool(each.error)) for each in reports] == [
        ("acme", 1, False),
        ("globex", 0, True),
    ]
