"""Finish removes the sources of what was moved long enough ago, and nothing else, whatever happened meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from tests.support.data_room import Room, md5
from tests.support.http_relay import Before, Request
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import Refused, StorageRefused, TryAgain
from rehouse.core.lifecycle import Phase, Status
from rehouse.engine.local import LocalEngine
from rehouse.ledger.lock import Locks
from rehouse.ledger.removals import Removals, SharedSources
from rehouse.operations import finish as finishing
from rehouse.operations.accept import accept
from rehouse.operations.finish import FinishReport
from rehouse.operations.steps import busy_rows
from rehouse.operations.steps.removals import RemovalPass, remove_sources

WEEK = timedelta(days=7)
NOW = timedelta(0)


def finish(
    room: Room, grace: timedelta = WEEK, slug: str = "acme", *, dry_run: bool = False, **more: Any
) -> FinishReport:
    with room.services(writes=not dry_run, **more) as services:
        return finishing.finish_one(services, services.ledger.tenant(slug), grace=grace, dry_run=dry_run)


def age(room: Room, *document_ids: str, days: int = 8) -> None:
    """Let these documents (else all) have been flipped so many days ago."""
    ids = list(document_ids) or [row[0] for row in room.sql("SELECT document_id FROM s3_migration_documents")]
    room.sql(
        "UPDATE s3_migration_documents SET flipped_at = now() - %s WHERE document_id = ANY(%s)",
        timedelta(days=days),
        ids,
    )


def phase(room: Room) -> str:
    return str(room.sql("SELECT phase FROM s3_migrations")[0][0])


def moved(room: Room, *document_ids: str) -> Room:
    """Move documents and let a week go by."""
    room.documents(*document_ids)
    room.migrate()
    age(room)
    return room


def test_old_sources_go_and_every_document_is_there(room: Room) -> None:
    moved(room, "a", "b", "c")
    report = finish(room)
    assert (
        report.sources_removed,
        report.bytes_removed,
        report.sources_removed_in_all,
        report.waiting,
        report.errors,
    ) == (
        3,
        3,
        3,
        0,
        0,
    )
    assert (report.phase, report.status) == (Phase.FINISHED, Status.COMPLETED)
    assert room.keys(room.shared) == []
    assert [room.body(each) for each in "abc"] == [b"a", b"b", b"c"]
    assert set(room.states().values()) == {"removed"}
    events = [row[0] for row in room.sql("SELECT event FROM s3_migration_events ORDER BY id")]
    assert events[-2:] == ["sources_released", "sources_removed"]
    assert room.verify().is_well


def test_run_again_it_changes_nothing(room: Room) -> None:
    moved(room, "a")
    finish(room)
    before = [
        room.sql(f"SELECT * FROM {table}")
        for table in ("s3_migrations", "s3_migration_documents", "s3_migration_events")
    ]
    report = finish(room)
    assert (report.sources_removed, report.sources_removed_in_all, report.phase, report.errors) == (
        0,
        1,
        Phase.FINISHED,
        0,
    )
    assert report.status is Status.COMPLETED
    after = [
        room.sql(f"SELECT * FROM {table}")
        for table in ("s3_migrations", "s3_migration_documents", "s3_migration_events")
    ]
    assert after == before


def test_what_is_younger_waits_and_nothing_is_released(room: Room) -> None:
    room.documents("a", "b")
    room.migrate()
    report = finish(room)
    assert (report.sources_removed, report.waiting, report.errors, report.phase) == (0, 2, 0, Phase.CUT_OVER)
    flipped = room.sql("SELECT min(flipped_at) FROM s3_migration_documents")[0][0]
    assert report.next_at == flipped + WEEK
    assert len(room.keys(room.shared)) == 2
    assert report.gives_up is None


def test_the_older_ones_go_first_and_the_phase_says_so(room: Room) -> None:
    room.documents("a", "b")
    room.migrate()
    age(room, "a")
    report = finish(room)
    assert (report.sources_removed, report.waiting, report.phase, report.status) == (
        1,
        1,
        Phase.RELEASED,
        Status.COMPLETED,
    )
    assert room.keys(room.shared) == ["k/b"]
    age(room, "b")
    assert finish(room).phase is Phase.FINISHED


def test_a_shorter_grace_names_what_it_gives_up(room: Room) -> None:
    room.documents("a")
    room.migrate()
    report = finish(room, NOW)
    assert report.sources_removed == 1
    assert "presigned URLs" in (report.gives_up or "")


def test_it_sweeps_first(room: Room) -> None:
    moved(room, "a")
    room.documents("late")
    report = finish(room)
    assert (report.this_run, report.sources_removed, report.waiting, report.phase) == (1, 1, 1, Phase.RELEASED)
    assert room.pointer("late")[0] == room.home()
    assert room.keys(room.shared) == ["k/late"]


def test_before_the_cutover_it_is_refused_and_nothing_moves(room: Room) -> None:
    room.documents("a")
    with pytest.raises(Refused, match="not begun"):
        finish(room)
    room.migrate(until=Phase.VERIFIED)
    with pytest.raises(Refused, match="verified"):
        finish(room)
    assert room.pointer("a")[0] == room.shared


def test_a_dry_run_tells_and_touches_nothing(room: Room) -> None:
    moved(room, "a", "b")
    room.put("home-goes", bucket=room.home())
    room.root.delete_object(Bucket=room.home(), Key=room.pointer("b")[1] or "")
    before = room.sql("SELECT * FROM s3_migration_documents ORDER BY 2"), room.sql("SELECT * FROM s3_migrations")
    report = finish(room, dry_run=True)
    assert (report.sources_removed, [each.code for each in report.left]) == (1, ["home_missing"])
    assert room.keys(room.shared) == ["k/a", "k/b"]
    assert before == (
        room.sql("SELECT * FROM s3_migration_documents ORDER BY 2"),
        room.sql("SELECT * FROM s3_migrations"),
    )


def test_an_object_that_any_row_points_to_stays(room: Room) -> None:
    moved(room, "a", "b", "c")
    room.tenant("other")
    room.row("theirs", "k/a", slug="other", bucket=room.shared)
    room.row("unnamed", "k/b", slug="other")
    room.row("empty", "k/c", slug="other", bucket="")
    report = finish(room)
    assert (report.sources_removed, {each.code for each in report.left}, report.errors) == (0, {"pointed_at"}, 3)
    assert len(room.keys(room.shared)) == 3
    assert phase(room) == "cut_over"
    room.sql("DELETE FROM documents WHERE id IN ('theirs', 'unnamed', 'empty')")
    assert finish(room).phase is Phase.FINISHED


def test_two_documents_of_one_source_wait_for_each_other(room: Room) -> None:
    room.documents("a")
    room.row("b", "k/a", bucket=room.shared)
    room.migrate()
    age(room, "a")
    report = finish(room)
    assert (report.sources_removed, room.keys(room.shared)) == (0, ["k/a"])
    age(room, "b")
    report = finish(room)
    assert (report.sources_removed, report.phase, room.keys(room.shared)) == (2, Phase.FINISHED, [])


def test_a_source_whose_document_is_not_at_home_stays(room: Room) -> None:
    moved(room, "gone", "changed", "told")
    home = room.home()
    room.root.delete_object(Bucket=home, Key=room.pointer("gone")[1] or "")
    room.put(room.pointer("changed")[1] or "", b"newer", home)
    etag = room.put(room.pointer("told")[1] or "", b"newer, and its row knows", home)
    room.sql("UPDATE documents SET etag = %s WHERE id = 'told'", f'"{etag}"')
    report = finish(room)
    assert {each.document_id: each.code for each in report.left} == {
        "gone": "home_missing",
        "changed": "home_changed",
    }
    assert (report.sources_removed, sorted(room.keys(room.shared))) == (1, ["k/changed", "k/gone"])
    assert phase(room) == "released"
    room.sql("UPDATE documents SET etag = %s WHERE id = 'changed'", md5(b"newer"))
    room.sql("DELETE FROM documents WHERE id = 'gone'")
    assert finish(room).phase is Phase.FINISHED
    assert room.body("changed") == b"newer"


def test_a_source_that_was_written_since_stays_and_comes_home(room: Room) -> None:
    moved(room, "a", "b")
    room.put("k/a", b"written late")
    report = finish(room)
    assert (report.sources_removed, report.waiting) == (1, 1)
    assert room.keys(room.shared) == ["k/a"]
    assert room.body("a") == b"written late"
    age(room)
    assert finish(room).phase is Phase.FINISHED
    assert room.body("a") == b"written late"


def test_a_fault_that_stays_is_told_by_every_run(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 1)
    moved(room, "a", "b")
    room.put("k/b", b"late")
    with psycopg.connect(room.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        for _ in range(2):
            report = finish(room)
            assert (report.status, report.errors, report.sources_changed) == (Status.FAILED, 1, 0)
            assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "RowLocked")]
    assert finish(room).errors == 0
    assert room.body("b") == b"late"


def test_a_conflict_is_never_removed(room: Room) -> None:
    moved(room, "a")
    room.put("k/a", b"written late")
    room.put(room.pointer("a")[1] or "", b"and at home", room.home())
    report = finish(room)
    assert (report.sources_removed, report.errors) == (0, 1)
    assert {each.code for each in report.outstanding} == {"Conflict"}
    assert room.keys(room.shared) == ["k/a"]
    assert phase(room) == "cut_over"


def test_a_source_written_after_its_row_went_is_nobodys(room: Room) -> None:
    moved(room, "a", "b")
    room.sql("DELETE FROM documents WHERE id = 'a'")
    room.put("k/a", b"written late")
    report = finish(room)
    assert (report.sources_removed, report.phase, report.errors) == (1, Phase.FINISHED, 0)
    assert room.keys(room.shared) == ["k/a"]
    assert room.states() == {"a": "superseded", "b": "removed"}


def test_what_is_gone_already_counts_as_removed(room: Room) -> None:
    moved(room, "a", "b")
    room.root.delete_object(Bucket=room.shared, Key="k/a")
    report = finish(room)
    assert (report.sources_removed, report.phase) == (2, Phase.FINISHED)


def test_a_versioned_bucket_keeps_what_was_removed(room: Room) -> None:
    room.root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": "Enabled"})
    moved(room, "a")
    finish(room)
    versions = room.root.list_object_versions(Bucket=room.shared)
    assert [each["Key"] for each in versions["Versions"]] == ["k/a"]
    assert [each["IsLatest"] for each in versions["DeleteMarkers"]] == [True]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_run_that_was_killed_is_taken_up(room: Room, is_there: bool) -> None:
    moved(room, "a", "b")
    with room.services() as services:
        tenant, migration = room.begun(services)
        services.ledger.of(migration, Removals).mark_removing(["a"])
        assert tenant.slug == "acme"
    if not is_there:
        room.root.delete_object(Bucket=room.shared, Key="k/a")
    report = finish(room)
    assert (report.sources_removed, report.phase, room.keys(room.shared)) == (2, Phase.FINISHED, [])


@pytest.mark.parametrize("is_there", [True, False])
def test_what_a_killed_run_left_and_may_not_go_is_settled(room: Room, is_there: bool) -> None:
    moved(room, "a")
    with room.services() as services:
        _, migration = room.begun(services)
        services.ledger.of(migration, Removals).mark_removing(["a"])
    room.tenant("other")
    room.row("theirs", "k/a", slug="other", bucket=room.shared)
    if not is_there:
        room.root.delete_object(Bucket=room.shared, Key="k/a")
    report = finish(room)
    assert (report.sources_removed, report.put_back) == (0, 0 if is_there else 1)
    assert room.states() == {"a": "flipped"}
    assert room.body("theirs") == b"a"


def test_a_conflict_of_what_a_killed_run_left_stays_one(room: Room) -> None:
    moved(room, "a", "b")
    with room.services() as services:
        _, migration = room.begun(services)
        services.ledger.of(migration, Removals).mark_removing(["a"])
    etag = room.put(room.pointer("a")[1] or "", b"newer at home", room.home())
    room.sql("UPDATE documents SET etag = %s WHERE id = 'a'", etag)
    room.put("k/a", b"late")
    for _ in range(2):
        report = finish(room)
        assert (report.status, [each.code for each in report.outstanding]) == (Status.FAILED, ["Conflict"])
        assert [each.code for each in report.left] == ["in_doubt"]
        assert room.states() == {"a": "flipped", "b": "removed"}
    assert room.keys(room.shared) == ["k/a"]


def test_a_row_back_at_a_removed_source_finds_it_again(room: Room) -> None:
    moved(room, "a", "b")
    assert finish(room).phase is Phase.FINISHED
    room.tenant("other")
    room.row("theirs", "k/a", slug="other", bucket=room.shared)
    report = finish(room)
    assert (report.put_back, report.errors) == (1, 0)
    assert room.body("theirs") == b"a"
    assert room.states() == {"a": "flipped", "b": "removed"}
    room.sql("DELETE FROM documents WHERE id = 'theirs'")
    age(room, "a")
    assert (finish(room).sources_removed, room.keys(room.shared)) == (1, [])


def test_a_source_that_cannot_be_put_back_is_told(room: Room) -> None:
    moved(room, "a")
    finish(room)
    room.tenant("other")
    room.row("theirs", "k/a", slug="other", bucket=room.shared)
    room.put(room.pointer("a")[1] or "", b"newer", room.home())
    report = finish(room)
    assert [(each.document_id, each.code) for each in report.left] == [("a", "not_put_back")]
    assert report.errors == 1


@pytest.mark.parametrize("where", ["home", "source"])
@pytest.mark.usefixtures("strict")
def test_a_write_while_a_source_is_put_back_is_told_or_stands(
    room: Room, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends are written between the look and the copy: S3 answers either way that a condition does not hold."""
    moved(room, "a")
    finish(room)
    room.tenant("other")
    room.row("theirs", "k/a", slug="other", bucket=room.shared)
    target = room.pointer("a")[1] or ""
    copy = LocalEngine.copy

    def written_first(engine: LocalEngine, tasks: Any) -> Any:
        if where == "home":
            room.put(target, b"newer", room.home())
        else:
            room.put("k/a", b"theirs")
        return copy(engine, tasks)

    monkeypatch.setattr(LocalEngine, "copy", written_first)
    report = finish(room)
    assert report.put_back == 0
    assert [each.code for each in report.left] == (["not_put_back"] if where == "home" else [])
    assert room.keys(room.shared) == ([] if where == "home" else ["k/a"])


def test_late_writes_never_go_where_another_tenant_points(room: Room) -> None:
    moved(room, "a")
    finish(room)
    etag = room.put(room.pointer("a")[1] or "", b"secret of acme", room.home())
    room.sql("UPDATE documents SET etag = %s WHERE id = 'a'", etag)
    room.tenant("other")
    room.row("theirs", "k/a", slug="other", bucket=room.shared)
    report = finish(room)
    assert (report.put_back, [each.code for each in report.left]) == (0, ["not_put_back"])
    assert room.keys(room.shared) == []


def test_what_was_uploaded_to_a_removed_key_is_left_alone(room: Room) -> None:
    moved(room, "a")
    finish(room)
    room.tenant("other")
    room.put("k/a", b"theirs")
    room.row("theirs", "k/a", slug="other", bucket=room.shared)
    assert finish(room).put_back == 0
    assert room.body("theirs") == b"theirs"


def test_a_document_outside_keeps_the_tenant_released(room: Room) -> None:
    room.documents("a")
    room.row("lost", "k/lost", bucket=room.shared)
    room.migrate()
    age(room)
    report = finish(room)
    assert (report.sources_removed, report.phase, report.status, len(report.outstanding)) == (
        1,
        Phase.RELEASED,
        Status.FAILED,
        1,
    )
    with room.services() as services:
        accept(services, services.ledger.tenant("acme"), ["lost"], "known")
    report = finish(room)
    assert (report.phase, report.status, report.errors) == (Phase.FINISHED, Status.COMPLETED, 0)


def test_an_adopted_tenant_has_nothing_to_remove(room: Room, s3_server: Any) -> None:
    home = f"own-{room.shared}"
    s3_server.root().create_bucket(Bucket=home)
    room.tenant("owner", home)
    room.put("x", b"x", home)
    room.row("x", "x", slug="owner", bucket=home)
    room.migrate("owner")
    report = finish(room, slug="owner")
    assert (report.phase, report.sources_removed, report.errors) == (Phase.FINISHED, 0, 0)
    assert room.keys(home) == ["x"]


def test_another_operator_is_not_disturbed(room: Room) -> None:
    moved(room, "a")
    tenant_id = room.sql("SELECT id FROM tenants")[0][0]
    with Locks(room.url) as theirs:
        theirs.acquire(tenant_id)
        with pytest.raises(TryAgain):
            finish(room)
    assert room.keys(room.shared) == ["k/a"]


def test_without_the_right_to_delete_the_hint_names_the_role(room: Room, s3_server: Any) -> None:
    moved(room, "a", "b")
    denied = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"},
    ]}  # fmt: skip
    keys = s3_server.user(f"no-delete-{room.shared}", {"denied": denied})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", keys[0])
        patch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
        with pytest.raises(StorageRefused) as refused:
            finish(room)
    assert "finish" in refused.value.hint or "iam-policy" in refused.value.hint
    assert len(room.keys(room.shared)) == 2
    assert finish(room).phase is Phase.FINISHED


def test_all_tenants_that_were_cut_over(room: Room) -> None:
    moved(room, "a")
    room.tenant("later")
    room.documents("l", slug="later")
    room.tenant("too")
    room.documents("t", slug="too")
    room.migrate("too")
    age(room)
    with room.services() as services:
        reports = finishing.finish_all(services, services.ledger.tenants(), grace=WEEK)
    assert {each.slug: (each.sources_removed, each.phase) for each in reports} == {
        "acme": (1, Phase.FINISHED),
        "too": (1, Phase.FINISHED),
    }
    assert room.keys(room.shared) == ["k/l"]


def test_many_go_in_batches(room: Room) -> None:
    moved(room, *(f"d{number:04}" for number in range(1100)))
    with room.services() as services:
        report = finishing.finish_one(services, services.ledger.tenant("acme"), grace=WEEK)
        assert services.control.requests["DeleteObjects"] == 3 + 1  # and one that asks whether conditions are honoured
    assert (report.sources_removed, room.keys(room.shared)) == (1100, [])


def test_what_changes_after_the_sweep_is_left_for_the_next_one(room: Room) -> None:
    moved(room, "a", "b")
    with room.services() as services:
        _, migration = room.begun(services)
        room.put("k/a", b"written late")
        run = RemovalPass(services, migration, "acme", WEEK, SharedSources(frozenset(), frozenset()))
        remove_sources(run)
        assert (run.removed, set(run.changed), run.left) == (1, {"a"}, [])
    assert room.states() == {"a": "flipped", "b": "removed"}
    assert room.keys(room.shared) == ["k/a"]


def writing(room: Room, key: str, body: bytes) -> Before:
    """Return a rule: something is written to a source when the sweep is over, just before a removal is looked at."""

    def write(request: Request) -> None:
        if request.operation == "POST delete" and f"<Key>{key}</Key>".encode() in request.body:
            room.put(key, body)

    return write


def test_writes_after_the_sweep_are_home_at_the_end(room: Room, strict: StrictRelay) -> None:
    moved(room, "a", "b")
    strict.meanwhile = writing(room, "k/a", b"late")
    report = finish(room)
    assert (report.sources_removed, report.sources_changed, report.waiting) == (1, 1, 1)
    assert (report.status, report.phase, report.errors) == (Status.COMPLETED, Phase.RELEASED, 0)
    assert room.body("a") == b"late"


def test_writes_at_both_ends_after_the_sweep_are_told(room: Room, strict: StrictRelay) -> None:
    moved(room, "a", "b")
    etag = room.put(room.pointer("a")[1] or "", b"newer at home", room.home())
    room.sql("UPDATE documents SET etag = %s WHERE id = 'a'", etag)
    strict.meanwhile = writing(room, "k/a", b"late")
    report = finish(room)
    assert (report.sources_removed, report.sources_changed, report.errors) == (1, 1, 1)
    assert (report.status, [each.code for each in report.outstanding]) == (Status.FAILED, ["Conflict"])
    assert room.sql("SELECT status FROM s3_migrations") == [("failed",)]


def test_a_document_that_another_one_waits_for_stays(room: Room) -> None:
    moved(room, "a")
    with room.services() as services:
        _, migration = room.begun(services)
        run = RemovalPass(services, migration, "acme", WEEK, SharedSources(frozenset({"a"}), frozenset({"a"})))
        remove_sources(run)
    assert [each.code for each in run.left] == ["pointed_at"]
    assert room.keys(room.shared) == ["k/a"]


def test_who_waits_for_a_source(room: Room) -> None:
    moved(room, "a", "b", "c")
    room.sql("UPDATE s3_migration_documents SET source_key = 'k/a', state = 'copied' WHERE document_id = 'b'")
    with room.services() as services:
        _, migration = room.begun(services)
        found = services.ledger.of(migration, Removals).shared_sources(WEEK)
    assert found == SharedSources(frozenset({"a"}), frozenset({"a"}))


def test_an_accepted_and_deleted_document_keeps_no_source(room: Room) -> None:
    room.documents("a")
    room.row("b", "k/a", bucket=room.shared)
    room.migrate()
    age(room)
    room.row("stays", "k/a", bucket=room.shared)
    with room.services() as services:
        accept(services, services.ledger.tenant("acme"), ["stays"], "a template")
    assert {each.code for each in finish(room).left} == {"pointed_at"}
    assert room.body("stays") == b"a"
    room.sql("DELETE FROM documents WHERE id = 'stays'")
    report = finish(room)
    assert (report.sources_removed, report.phase, report.left, room.keys(room.shared)) == (2, Phase.FINISHED, [], [])


def test_what_the_sweep_moved_waits_for_its_grace(room: Room) -> None:
    moved(room, "a")
    room.row("b", "k/a", bucket=room.shared)
    report = finish(room)
    assert report.this_run == 1
    assert (report.sources_removed, room.keys(room.shared)) == (0, ["k/a"])


@pytest.mark.parametrize("is_over", [False, True])
def test_a_killed_removal_needs_no_rights_of_a_migration(room: Room, is_over: bool) -> None:
    moved(room, "a", "b")
    age(room, "a", "b")
    if is_over:
        finish(room)
    room.sql("UPDATE s3_migrations SET status = 'in_progress', completed_at = NULL")
    with room.services() as services:
        finishing.finish_one(services, services.ledger.tenant("acme"), grace=WEEK)
        assert "GetBucketPolicy" not in services.control.requests
    assert room.sql("SELECT status, phase FROM s3_migrations") == [("completed", "finished")]
