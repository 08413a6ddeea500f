"""A late write is copied while nobody waits, and written down after one more look under the row's lock; in both directions."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from tests.support.conditions import unconditional
from tests.support.data_room import Room, md5
from tests.support.http_relay import HttpRelay, Reply, Request
from tests.support.killing import in_a_child
from tests.support.row_locks import BUSY, Looks, is_locked
from tests.support.strict_relay import StrictRelay

from rehouse.core.lifecycle import Status
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.operations.migrate import migrate_one
from rehouse.operations.report import ReturnReport
from rehouse.operations.rollback import roll_back_one
from rehouse.operations.steps import late_rounds
from rehouse.operations.steps.guarded_copies import is_guarded
from rehouse.s3.session import Session

AT_HOME = "documents/b/b.txt"
NEVER = 10**9
LATE, LATER, HERE = b"late", b"later still", b"by the application"


@pytest.fixture
def moved(room: Room, strict: StrictRelay) -> Room:
    """Documents at home, beside an S3 that honours the conditions; a run learns that from the late write to `a`."""
    room.documents("a", "b")
    assert room.migrate().status is Status.COMPLETED
    return room


@pytest.fixture
def returned(moved: Room) -> Room:
    """The same after a rollback."""
    assert roll_back(moved).status is Status.ROLLED_BACK
    return moved


def roll_back(room: Room, **more: Any) -> ReturnReport:
    with room.services(**more) as services:
        return roll_back_one(services, services.ledger.tenant("acme"))


def write_late(room: Room, *document_ids: str) -> None:
    """Write at the sources of documents that were moved."""
    for document_id in document_ids:
        room.put(f"k/{document_id}", LATE)


def write_at_home(room: Room, *document_ids: str) -> None:
    """Write where documents were before they were returned."""
    for document_id in document_ids:
        room.put(f"documents/{document_id}/{document_id}.txt", LATE, bucket=room.home())


def overwrite(room: Room, document_id: str, body: bytes = HERE) -> None:
    """Overwrite a document where it is as the application does, its row with it."""
    bucket, key = room.pointer(document_id)
    with psycopg.connect(room.url) as application:
        application.execute("SET lock_timeout = '2s'")
        application.execute("SELECT 1 FROM documents WHERE id = %s FOR UPDATE", (document_id,))
        etag = room.put(key or "", body, bucket=bucket)
        application.execute("UPDATE documents SET etag = %s WHERE id = %s", (etag, document_id))


class Copies:
    """A rule of a relay: notes for each copy of the late write to `b` whether its row is locked, and does something meanwhile."""

    def __init__(self, room: Room, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.room, self.meanwhile = room, meanwhile
        self.locked: list[bool] = []

    def __call__(self, request: Request) -> Reply | None:
        if request.operation == "CopyObject" and "/b/" in request.key:
            self.locked.append(is_locked(self.room, "b"))
            self.meanwhile()
        return None


def after_the_copy(strict: StrictRelay, deed: Callable[[], object]) -> None:
    """Do something once, right after the first late write to `b` was copied."""
    done: list[bool] = []

    def act(request: Request, reply: Reply) -> Reply:
        if request.operation == "CopyObject" and "/b/" in request.key and reply.status == 200 and not done:
            done.append(True)
            deed()
        return reply

    strict.endings.append(act)


def slowly_renaming(room: Room) -> Callable[[], None]:
    """Return what an application does while a copy takes long: it changes the row, and cannot wait for its lock."""

    def rename() -> None:
        with psycopg.connect(room.url) as application:
            application.execute("SET lock_timeout = '200ms'")
            application.execute("UPDATE documents SET filename = 'renamed' WHERE id = 'b'")
        time.sleep(0.3)

    return rename


def line(room: Room, document_id: str) -> tuple[Any, ...]:
    query = "SELECT source_etag, target_etag, error_code FROM s3_migration_documents WHERE document_id = %s"
    return room.sql(query, document_id)[0]


# Forwards ---------------------------------------------------------------------------------------------------------------


def test_rows_can_be_updated_while_a_late_write_is_copied(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    strict.meanwhile = copies = Copies(moved, slowly_renaming(moved))
    report = moved.migrate()
    assert (report.late_writes, report.errors, copies.locked) == (2, 0, [False])
    assert moved.sql("SELECT filename FROM documents WHERE id = 'b'") == [("renamed",)]
    assert (moved.body("a"), moved.body("b")) == (LATE, LATE)
    assert moved.verify(deep=True).is_well
    assert moved.migrate().had_nothing_to_do


def test_the_first_copy_is_made_under_the_lock(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "b")
    strict.meanwhile = copies = Copies(moved)
    assert moved.migrate().late_writes == 1
    assert copies.locked == [True, True]


@pytest.mark.parametrize("is_refused", [False, True], ids=["ignored", "not implemented"])
def test_without_the_condition_copies_are_made_under_the_lock(room: Room, is_refused: bool) -> None:
    room.documents("a", "b")
    room.migrate()
    write_late(room, "a", "b")
    copies = Copies(room)
    with HttpRelay(room.server.port) as relay:
        relay.before = lambda request: (unconditional(request) if is_refused else None) or copies(request)
        report = room.migrate(endpoint_url=relay.url)
    assert (report.late_writes, copies.locked) == (2, [True])
    assert room.body("b") == LATE


def test_an_endpoint_that_drops_the_condition_copies_locked(moved: Room, strict: StrictRelay) -> None:
    """A copy without a lock is never made without the condition: it is refused, and made under the lock."""
    write_late(moved, "a", "b")
    copies = Copies(moved)

    def rule(request: Request) -> Reply | None:
        return (unconditional(request) if "/b/" in request.key else None) or copies(request)

    strict.meanwhile = rule
    assert moved.migrate().late_writes == 2
    assert set(copies.locked) == {True}
    assert moved.body("b") == LATE


def test_what_is_written_home_after_the_copy_is_a_conflict(moved: Room, strict: StrictRelay) -> None:
    """It may have read the document before the copy was there: both versions are kept."""
    write_late(moved, "a", "b")
    after_the_copy(strict, lambda: overwrite(moved, "b"))
    [conflict] = moved.migrate().outstanding
    assert (conflict.document_id, conflict.code) == ("b", "Conflict")
    assert moved.body("b") == HERE
    assert moved.root.get_object(Bucket=moved.shared, Key="k/b")["Body"].read() == LATE
    assert moved.sql("SELECT etag FROM documents WHERE id = 'b'") == [(md5(HERE),)]


def test_what_is_written_home_before_the_copy_is_not_covered(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    written: list[bool] = []

    def write_once() -> None:
        if not written:
            written.append(True)
            overwrite(moved, "b")

    strict.meanwhile = Copies(moved, write_once)
    assert [each.code for each in moved.migrate().outstanding] == ["Conflict"]
    assert moved.body("b") == HERE


def test_a_source_written_again_comes_home_with_the_next_run(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    after_the_copy(strict, lambda: moved.put("k/b", LATER))
    assert moved.migrate().late_writes == 2
    assert (moved.body("b"), line(moved, "b")) == (LATE, (md5(LATE), md5(LATE), None))
    assert moved.migrate().late_writes == 1
    assert moved.body("b") == LATER


def test_a_source_that_is_gone_after_the_copy_was_brought_home(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    after_the_copy(strict, lambda: moved.root.delete_object(Bucket=moved.shared, Key="k/b"))
    assert moved.migrate().late_writes == 2
    assert (moved.body("b"), line(moved, "b")) == (LATE, (md5(LATE), md5(LATE), None))
    assert moved.migrate().had_nothing_to_do


def test_a_source_that_always_changes_is_left_with_the_reason(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    count = iter(range(NEVER))
    strict.meanwhile = Copies(moved, lambda: moved.put("k/b", b"%d" % next(count)))
    [left] = moved.migrate().outstanding
    assert (left.document_id, left.code) == ("b", "PreconditionFailed")
    strict.meanwhile = lambda request: None
    assert moved.migrate().late_writes == 1
    assert moved.body("b") == b"2"


def test_a_document_that_is_deleted_during_the_copy_is_let_go(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    after_the_copy(strict, lambda: moved.sql("DELETE FROM documents WHERE id = 'b'"))
    report = moved.migrate()
    assert (report.status, report.late_writes) == (Status.COMPLETED, 1)


def test_a_row_that_moves_during_the_copy_is_a_conflict(moved: Room, strict: StrictRelay) -> None:
    moved.put("documents/b/second.txt", b"second", bucket=moved.home())
    write_late(moved, "a", "b")
    after_the_copy(strict, lambda: moved.sql("UPDATE documents SET s3_key = 'documents/b/second.txt' WHERE id = 'b'"))
    assert [each.code for each in moved.migrate().outstanding] == ["Conflict"]
    assert moved.body("b") == b"second"


def test_a_claim_on_the_source_during_its_copy_is_a_conflict(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    after_the_copy(strict, lambda: moved.row("new", "k/b", bucket=moved.shared))
    outstanding = moved.migrate().outstanding
    assert [(each.document_id, each.code) for each in outstanding] == [("b", "Conflict")]
    assert moved.body("new") == LATE


def test_a_refused_look_under_the_lock_gives_the_row_back(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    refused: list[bool] = []

    def refuse(number: int) -> Reply | None:
        if looks.locked[number - 1] and not refused:
            refused.append(True)
            return Reply(503, BUSY)
        return None

    strict.meanwhile = looks = Looks(moved, refuse)
    assert moved.migrate().late_writes == 2
    first = looks.locked.index(True)
    assert looks.locked[first : first + 3] == [True, False, True], (
        "asked again without the lock, then once more with it"
    )
    assert refused


def test_a_row_whose_source_never_answers_is_left(
    moved: Room, strict: StrictRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehouse.operations.steps.busy_rows.PASSES", 2)
    monkeypatch.setattr("rehouse.operations.steps.busy_rows.PAUSE_SECONDS", 0.05)
    write_late(moved, "a", "b")
    strict.meanwhile = looks = Looks(moved, lambda number: Reply(503, BUSY) if looks.locked[number - 1] else None)
    copies = Copies(moved)
    strict.rules.insert(0, copies)
    [left] = moved.migrate().outstanding
    assert (left.document_id, left.code) == ("b", "LockBudget")
    assert copies.locked == [False], "the copy that is there already is not made again"
    strict.meanwhile = lambda request: None
    assert moved.migrate().late_writes == 1
    assert (moved.body("b"), copies.locked) == (LATE, [False])


def killed_before_it_is_written_down(room: Room, command: Callable[[Any, Any], object]) -> None:
    """Run a command that dies with the row of `b` locked, its late write copied and nothing written down."""
    look = late_rounds.look_in_time

    def die_at_b(services: Any, refs: set[ObjectRef]) -> Any:
        if any("b" in ref.key.split("/") for ref in refs):
            os.kill(os.getpid(), signal.SIGKILL)
        return look(services, refs)

    def deed() -> None:
        late_rounds.look_in_time = die_at_b
        with room.services() as services:
            command(services, services.ledger.tenant("acme"))

    assert in_a_child(deed, NEVER)
    while is_locked(room, "b"):  # until PostgreSQL notices
        time.sleep(0.1)


def test_a_run_killed_after_its_copy_has_lost_nothing(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    strict.meanwhile = copies = Copies(moved)
    killed_before_it_is_written_down(moved, migrate_one)
    assert (moved.body("b"), line(moved, "b")) == (LATE, (md5(b"b"), md5(b"b"), None))
    report = moved.migrate()
    assert (report.status, report.late_writes) == (Status.COMPLETED, 1)
    assert (copies.locked, line(moved, "b")) == ([False], (md5(LATE), md5(LATE), None))
    assert moved.verify(deep=True).is_well


def test_what_is_written_home_after_a_kill_is_a_conflict(moved: Room, strict: StrictRelay) -> None:
    write_late(moved, "a", "b")
    killed_before_it_is_written_down(moved, migrate_one)
    overwrite(moved, "b")
    assert [each.code for each in moved.migrate().outstanding] == ["Conflict"]
    assert moved.body("b") == HERE


# The way back -----------------------------------------------------------------------------------------------------------


def test_rows_can_be_updated_while_a_write_is_sent_after(returned: Room, strict: StrictRelay) -> None:
    write_at_home(returned, "a", "b")
    strict.meanwhile = copies = Copies(returned, slowly_renaming(returned))
    report = roll_back(returned)
    assert (report.late_writes, report.errors, copies.locked) == (2, 0, [False])
    assert returned.sql("SELECT filename FROM documents WHERE id = 'b'") == [("renamed",)]
    assert (returned.body("a"), returned.body("b")) == (LATE, LATE)


def test_an_ignored_condition_sends_after_under_the_lock(room: Room) -> None:
    room.documents("a", "b")
    room.migrate()
    roll_back(room)
    write_at_home(room, "a", "b")
    copies = Copies(room)
    with HttpRelay(room.server.port) as relay:
        relay.before = copies
        report = roll_back(room, endpoint_url=relay.url)
    assert (report.late_writes, copies.locked) == (2, [True])
    assert room.body("b") == LATE


def test_what_is_written_there_during_the_copy_is_a_conflict(returned: Room, strict: StrictRelay) -> None:
    write_at_home(returned, "a", "b")
    after_the_copy(strict, lambda: overwrite(returned, "b"))
    outstanding = roll_back(returned).outstanding
    assert [(each.document_id, each.code) for each in outstanding] == [("b", "Conflict")]
    assert returned.body("b") == HERE
    assert returned.root.get_object(Bucket=returned.home(), Key=AT_HOME)["Body"].read() == LATE


def test_a_newer_write_at_home_during_the_copy_is_sent_instead(returned: Room, strict: StrictRelay) -> None:
    write_at_home(returned, "a", "b")
    after_the_copy(strict, lambda: returned.put(AT_HOME, LATER, bucket=returned.home()))
    report = roll_back(returned)
    assert (report.late_writes, report.errors) == (2, 0)
    assert returned.body("b") == LATER


def test_a_rollback_killed_after_its_copy_is_taken_up(returned: Room, strict: StrictRelay) -> None:
    write_at_home(returned, "a", "b")
    time.sleep(1.1)  # only a copy that is newer than its source is taken up, and S3 tells times in seconds
    strict.meanwhile = copies = Copies(returned)
    killed_before_it_is_written_down(returned, roll_back_one)
    assert returned.body("b") == b"b"
    assert roll_back(returned).late_writes == 1
    assert (returned.body("b"), copies.locked) == (LATE, [False])


# What is known ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replaces", [None, "e" * 32])
def test_what_is_known_of_the_condition(room: Room, monkeypatch: pytest.MonkeyPatch, replaces: str | None) -> None:
    """Amazon documents it; elsewhere a small copy tells, of its own condition, and of copies in one request only."""
    task = CopyTask("a", ObjectRef("s", "k"), "e", 10, "STANDARD", ObjectRef("h", "k"), replaces)
    with room.services(multipart_threshold_bytes=100) as services:
        large = CopyTask("a", task.source, "e", 101, "STANDARD", task.target, replaces)
        mine, other = services.guard.absent, services.guard.unchanged
        if replaces:
            mine, other = other, mine
        other.find_out(lambda: True)
        assert not is_guarded(services, task), "the other condition tells nothing"
        mine.find_out(lambda: True)
        assert is_guarded(services, task)
        assert not is_guarded(services, large)
        monkeypatch.setattr(Session, "is_aws", property(lambda _: True))
        assert is_guarded(services, large)
        services.bulk.target_condition_offered = False
        assert not is_guarded(services, task)
        services.bulk.target_condition_offered = None
        mine.note_unguarded()
        assert not is_guarded(services, task)
