"""Rollback: every row returns with its newest bytes, whatever happened at home; nothing that is there is overwritten."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

import psycopg
import pytest
from tests.support.data_room import Room, md5
from tests.support.returns import at_home, returned, roll_back

from rehouse.core.errors import Refused, TryAgain
from rehouse.core.lifecycle import Event, Phase, Status
from rehouse.core.model import CopyOutcome, CopyTask, Fault, Migration
from rehouse.core.naming import target_key
from rehouse.core.progress import Progress
from rehouse.ledger.returns import Returns
from rehouse.operations.accept import accept
from rehouse.operations.migrate import migrate_one
from rehouse.operations.rollback import roll_back_all, roll_back_one
from rehouse.operations.services import Services
from rehouse.operations.status import errors
from rehouse.operations.steps import busy_rows, survey
from rehouse.operations.steps.returns import ReturnPass, return_documents
from rehouse.operations.steps.run import run_inventory
from rehouse.sandbox.s3_server import S3Server


def row_of_tenant(room: Room, slug: str = "acme") -> str | None:
    return room.sql("SELECT aws_bucket_name FROM tenants WHERE slug = %s", slug)[0][0]


@pytest.fixture
def moved(room: Room) -> Room:
    """A room whose four documents are at home."""
    room.documents("a", "b", "c", "d")
    assert room.migrate().status is Status.COMPLETED
    return room


def test_what_nobody_touched_returns_to_its_old_pointer(moved: Room) -> None:
    keys = moved.keys(moved.shared)
    report = roll_back(moved)
    assert (report.status, report.phase, report.errors) == (Status.ROLLED_BACK, Phase.ROLLED_BACK, 0)
    assert (report.documents_returned, report.this_run, report.old_pointers, report.copied) == (4, 4, 4, 0)
    assert {moved.pointer(each) for each in "abcd"} == {(moved.shared, f"k/{each}") for each in "abcd"}
    assert [moved.body(each) for each in "abcd"] == [b"a", b"b", b"c", b"d"]
    assert moved.keys(moved.shared) == keys
    assert row_of_tenant(moved) is None
    assert moved.sql("SELECT DISTINCT s3_migrated_at, s3_version_id FROM documents") == [(None, None)]
    assert moved.sql("SELECT status, phase, documents_migrated, documents_failed FROM s3_migrations") == [
        ("rolled_back", "rolled_back", 0, 0)
    ]


def test_rows_get_the_size_and_etag_of_what_they_point_to(moved: Room) -> None:
    moved.put(at_home(moved, "b"), b"b, longer", bucket=moved.home())
    moved.sql("UPDATE documents SET etag = '\"x\"' WHERE id = 'b'")
    roll_back(moved)
    for document_id in "ab":
        bucket, key = moved.pointer(document_id)
        found = moved.root.head_object(Bucket=bucket, Key=key)
        etag = found["ETag"] if document_id == "b" else found["ETag"].strip('"')
        assert moved.sql("SELECT file_size, etag FROM documents WHERE id = %s", document_id) == [
            (found["ContentLength"], etag)
        ]


def test_an_overwrite_at_home_returns_with_its_newest_bytes(moved: Room) -> None:
    moved.put(at_home(moved, "b"), b"newest", bucket=moved.home())
    report = roll_back(moved)
    assert (report.status, report.old_pointers, report.copied, report.bytes_copied) == (Status.ROLLED_BACK, 3, 1, 6)
    assert moved.pointer("b") == (moved.shared, returned("b"))
    assert moved.body("b") == b"newest"
    assert moved.root.get_object(Bucket=moved.shared, Key="k/b")["Body"].read() == b"b"


def test_what_was_uploaded_to_the_home_is_sent_back(moved: Room) -> None:
    moved.put("uploads/new.pdf", b"new", bucket=moved.home())
    moved.row("new", "uploads/new.pdf", bucket=moved.home())
    report = roll_back(moved)
    assert (report.status, report.this_run, report.copied) == (Status.ROLLED_BACK, 5, 1)
    assert moved.pointer("new") == (moved.shared, returned("new"))
    assert moved.body("new") == b"new"


def test_a_denied_copy_names_what_refused_and_the_role(moved: Room, s3_server: S3Server) -> None:
    moved.put("uploads/new.pdf", b"new", bucket=moved.home())
    moved.row("new", "uploads/new.pdf", bucket=moved.home())
    denied = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{moved.shared}/*"},
    ]}  # fmt: skip
    keys = s3_server.user(f"no-rollback-{moved.shared}", {"denied": denied})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", keys[0])
        patch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
        report = roll_back(moved)
    [left] = report.outstanding
    assert not report.has_left
    assert (left.code, left.source.bucket) == ("AccessDenied", moved.home())
    assert (left.message or "").startswith(f"at the target {moved.shared}/{returned('new')}: ")
    with moved.services() as services:
        [error] = errors(services.ledger, services.ledger.tenants())
    assert "rehouse iam-policy --role rollback" in error.hint
    assert roll_back(moved).has_left


def test_a_document_that_was_replaced_or_deleted_since(moved: Room) -> None:
    moved.put("uploads/b2", b"b2", bucket=moved.home())
    moved.sql("UPDATE documents SET s3_key = 'uploads/b2' WHERE id = 'b'")
    moved.sql("DELETE FROM documents WHERE id = 'c'")
    report = roll_back(moved)
    assert (report.status, report.this_run, report.copied) == (Status.ROLLED_BACK, 3, 1)
    assert moved.body("b") == b"b2"


def test_a_document_whose_source_is_gone_is_copied(moved: Room) -> None:
    moved.root.delete_object(Bucket=moved.shared, Key="k/b")
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.pointer("b") == (moved.shared, returned("b"))
    assert moved.body("b") == b"b"


def test_a_late_write_at_the_source_is_the_newest(moved: Room) -> None:
    moved.put("k/b", b"late")
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.body("b") == b"late"
    assert moved.body("a") == b"a"


def test_written_at_both_ends_both_versions_stay(moved: Room) -> None:
    moved.put("k/b", b"late")
    moved.put(at_home(moved, "b"), b"at home", bucket=moved.home())
    for _ in range(2):
        report = roll_back(moved)
        assert (report.status, report.errors, report.still_at_home) == (Status.FAILED, 1, 1)
        assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "Conflict")]
    assert moved.body("b") == b"at home"
    assert moved.root.get_object(Bucket=moved.shared, Key="k/b")["Body"].read() == b"late"
    assert moved.pointer("a") == (moved.shared, "k/a")


def test_an_accepted_conflict_returns_with_the_version_at_home(moved: Room) -> None:
    moved.put("k/b", b"late")
    moved.put(at_home(moved, "b"), b"at home", bucket=moved.home())
    roll_back(moved)
    with moved.services() as services:
        accept(services, services.ledger.tenant("acme"), ["b"], "the one at home is right")
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.body("b") == b"at home"
    assert moved.root.get_object(Bucket=moved.shared, Key="k/b")["Body"].read() == b"late"


def test_a_late_write_to_what_was_replaced_is_a_conflict(moved: Room) -> None:
    moved.put("k/b", b"late")
    moved.put("uploads/b2", b"b2", bucket=moved.home())
    moved.sql("UPDATE documents SET s3_key = 'uploads/b2' WHERE id = 'b'")
    for _ in range(2):
        report = roll_back(moved)
        assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "Conflict")]
    with moved.services() as services:
        accept(services, services.ledger.tenant("acme"), ["b"], "the one that replaced it is right")
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.body("b") == b"b2"
    assert moved.root.get_object(Bucket=moved.shared, Key="k/b")["Body"].read() == b"late"


def test_one_accepted_conflict_leaves_the_other(moved: Room) -> None:
    roll_back(moved)
    for each in "ab":
        moved.put(at_home(moved, each), b"late, at home", bucket=moved.home())
        moved.put(f"k/{each}", b"in its place")
    roll_back(moved)
    for document_id, left in (("a", ["b"]), ("b", [])):
        with moved.services() as services:
            report = accept(services, services.ledger.tenant("acme"), [document_id], "it is right")
        assert ([each.document_id for each in report.outstanding], report.errors) == (left, len(left))
        status = Status.FAILED if left else Status.ROLLED_BACK
        assert report.status is status
        assert moved.sql("SELECT status, documents_failed FROM s3_migrations") == [(status.value, len(left))]


def test_an_accepted_conflict_counts_until_it_has_returned(moved: Room) -> None:
    moved.put("k/b", b"late")
    moved.put(at_home(moved, "b"), b"at home", bucket=moved.home())
    roll_back(moved)
    with moved.services() as services:
        report = accept(services, services.ledger.tenant("acme"), ["b"], "the one at home is right")
    assert (report.status, report.errors) == (Status.FAILED, 1)
    assert roll_back(moved).status is Status.ROLLED_BACK


def test_nothing_that_is_there_is_overwritten(moved: Room) -> None:
    etag = moved.put(at_home(moved, "b"), b"newest", bucket=moved.home())
    moved.put(returned("b"), b"somebody else's")
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.pointer("b") == (moved.shared, returned("b", etag=etag))
    assert moved.body("b") == b"newest"
    assert moved.root.get_object(Bucket=moved.shared, Key=returned("b"))["Body"].read() == b"somebody else's"


def test_where_both_keys_are_taken_the_document_stays(moved: Room) -> None:
    etag = moved.put(at_home(moved, "b"), b"newest", bucket=moved.home())
    for key in (returned("b"), returned("b", etag=etag)):
        moved.put(key, b"somebody else's")
    report = roll_back(moved)
    assert (report.status, report.errors) == (Status.FAILED, 1)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "target_taken")]
    assert moved.body("b") == b"newest"
    moved.root.delete_object(Bucket=moved.shared, Key=returned("b"))
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.body("b") == b"newest"


def test_a_document_without_an_object_remembers_where_it_was(moved: Room) -> None:
    body = moved.root.get_object(Bucket=moved.home(), Key=at_home(moved, "b"))["Body"].read()
    moved.root.delete_object(Bucket=moved.home(), Key=at_home(moved, "b"))
    report = roll_back(moved)
    assert (report.status, report.errors, report.this_run) == (Status.FAILED, 1, 3)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "missing_object")]
    moved.put(at_home(moved, "b"), body, bucket=moved.home())
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.pointer("b") == (moved.shared, "k/b")


def test_run_again_it_sweeps_what_came_later(moved: Room) -> None:
    roll_back(moved)
    moved.put("uploads/late.pdf", b"from a home that was cached", bucket=moved.home())
    moved.row("late", "uploads/late.pdf", bucket=moved.home())
    report = roll_back(moved)
    assert (report.status, report.this_run, report.documents_returned) == (Status.ROLLED_BACK, 1, 5)
    assert moved.body("late") == b"from a home that was cached"
    assert roll_back(moved).this_run == 0


def test_what_is_written_at_home_after_the_return_is_sent_after(moved: Room) -> None:
    roll_back(moved)
    moved.put(at_home(moved, "b"), b"late, at home", bucket=moved.home())
    report = roll_back(moved)
    assert (report.status, report.late_writes) == (Status.ROLLED_BACK, 1)
    assert moved.pointer("b") == (moved.shared, returned("b"))
    assert moved.body("b") == b"late, at home"
    assert moved.root.get_object(Bucket=moved.shared, Key="k/b")["Body"].read() == b"b"
    assert roll_back(moved).late_writes == 0


def test_written_at_both_ends_after_the_return_is_a_conflict(moved: Room) -> None:
    roll_back(moved)
    moved.put(at_home(moved, "b"), b"late, at home", bucket=moved.home())
    moved.put("k/b", b"in its place")
    for _ in range(2):
        report = roll_back(moved)
        assert (report.status, report.errors, report.late_writes) == (Status.FAILED, 1, 0)
        assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "Conflict")]
    assert moved.body("b") == b"in its place"
    assert moved.root.get_object(Bucket=moved.home(), Key=at_home(moved, "b"))["Body"].read() == b"late, at home"


def test_a_write_at_home_after_it_was_given_away_is_told(moved: Room) -> None:
    moved.tenant("zenith")
    roll_back(moved)
    give = "UPDATE documents SET tenant_id = (SELECT id FROM tenants WHERE slug = 'zenith') WHERE id IN ('a', 'b')"
    moved.sql(give)
    moved.put(at_home(moved, "b"), b"late, at home", bucket=moved.home())
    report = roll_back(moved)
    assert (report.status, report.errors, report.still_at_home) == (Status.FAILED, 1, 0)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "Conflict")]
    assert "given to another tenant" in (report.outstanding[0].message or "")
    with pytest.raises(Refused, match="written at both ends after the rollback: b"):
        moved.migrate()
    with moved.services() as services:
        accept(services, services.ledger.tenant("acme"), ["b"], "nobody wants it")
    assert roll_back(moved).status is Status.ROLLED_BACK
    assert moved.body("b") == b"b"


@pytest.mark.parametrize("until", [Phase.PLANNED, Phase.PROVISIONED, Phase.COPIED, Phase.VERIFIED])
def test_before_the_cutover_the_copies_are_given_up(room: Room, until: Phase) -> None:
    room.documents("a", "b")
    room.migrate(until=until)
    report = roll_back(room)
    assert (report.status, report.phase, report.this_run) == (Status.ROLLED_BACK, Phase.ROLLED_BACK, 0)
    assert set(room.states().values()) <= {"superseded"}
    assert row_of_tenant(room) is None
    assert room.pointer("a") == (room.shared, "k/a")


def test_a_migration_can_be_made_again_and_undone_again(moved: Room) -> None:
    home = moved.home()
    moved.put(at_home(moved, "b"), b"newest", bucket=home)
    roll_back(moved)
    moved.put("k/a", b"changed in between")
    assert moved.migrate().status is Status.COMPLETED
    assert {moved.pointer(each)[0] for each in "abcd"} == {home}
    assert [moved.body(each) for each in "abcd"] == [b"changed in between", b"newest", b"c", b"d"]
    assert moved.verify().is_well
    moved.put(at_home(moved, "b"), b"even newer", bucket=home)
    report = roll_back(moved)
    assert (report.status, report.this_run) == (Status.ROLLED_BACK, 4)
    assert [moved.body(each) for each in "abcd"] == [b"changed in between", b"even newer", b"c", b"d"]
    assert moved.root.get_object(Bucket=moved.shared, Key=returned("b"))["Body"].read() == b"newest"


def test_an_adopted_home_stays_the_tenants(room: Room) -> None:
    room.root.create_bucket(Bucket=f"own-{room.shared}")
    room.sql("UPDATE tenants SET aws_bucket_name = %s", f"own-{room.shared}")
    room.put("theirs", b"theirs", bucket=f"own-{room.shared}")
    room.row("theirs", "theirs", bucket=f"own-{room.shared}")
    room.documents("a", "b")
    room.migrate()
    room.put(at_home(room, "b"), b"newest", bucket=room.home())
    report = roll_back(room)
    assert (report.status, report.this_run, report.stays, report.still_at_home) == (Status.ROLLED_BACK, 2, 1, 0)
    assert row_of_tenant(room) == f"own-{room.shared}"
    assert room.pointer("theirs") == (f"own-{room.shared}", "theirs")
    assert [room.body(each) for each in ("a", "b", "theirs")] == [b"a", b"newest", b"theirs"]


def test_a_home_that_was_the_shared_bucket_is_that_again(room: Room) -> None:
    room.sql("UPDATE tenants SET aws_bucket_name = %s", room.shared)
    room.documents("a")
    room.migrate()
    assert row_of_tenant(room) == room.home()
    roll_back(room)
    assert row_of_tenant(room) == room.shared


@pytest.mark.parametrize("phase", [Phase.RELEASED, Phase.FINISHED])
def test_from_released_on_it_is_refused(moved: Room, phase: Phase) -> None:
    moved.sql("UPDATE s3_migrations SET phase = %s", phase)
    with pytest.raises(Refused, match="sources are being removed"):
        roll_back(moved)
    assert moved.pointer("a")[0] == moved.home() == row_of_tenant(moved)


def test_where_nothing_was_begun_it_is_refused(room: Room) -> None:
    with pytest.raises(Refused, match="never migrated"):
        roll_back(room)


def test_a_dry_run_tells_and_changes_nothing(moved: Room) -> None:
    moved.put(at_home(moved, "b"), b"newest", bucket=moved.home())
    moved.put(at_home(moved, "c"), b"at home", bucket=moved.home())
    moved.put("k/c", b"late")
    everything = "SELECT * FROM documents ORDER BY id", "SELECT * FROM s3_migrations", "SELECT * FROM tenants", \
        "SELECT * FROM s3_migration_documents ORDER BY document_id", "SELECT * FROM s3_migration_events"  # fmt: skip
    before = [moved.sql(query) for query in everything], moved.keys(moved.shared)
    report = roll_back(moved, dry_run=True)
    assert (report.dry_run, report.old_pointers, report.copied, report.bytes_copied) == (True, 2, 1, 6)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("c", "Conflict")]
    assert ([moved.sql(query) for query in everything], moved.keys(moved.shared)) == before


def test_a_locked_row_returns_once_it_is_free(moved: Room) -> None:
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        threading.Timer(1, busy.rollback).start()
        report = roll_back(moved)
    assert (report.status, report.this_run) == (Status.ROLLED_BACK, 4)


def test_a_row_that_stays_locked_is_left_for_the_next_run(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 2)
    monkeypatch.setattr(busy_rows, "PAUSE_SECONDS", 0.05)
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        report = roll_back(moved)
        assert (report.status, report.errors, report.this_run, report.still_at_home) == (Status.FAILED, 1, 3, 1)
        assert [each.document_id for each in report.outstanding] == ["b"]
    assert (report := roll_back(moved)).status is Status.ROLLED_BACK
    assert (report.this_run, report.old_pointers) == (1, 0)


def test_small_pages_return_everything_too(room: Room) -> None:
    ids = [f"d{number:02}" for number in range(23)]
    room.documents(*ids)
    room.migrate()
    for document_id in ids[::3]:
        room.put(at_home(room, document_id), f"{document_id}, newer".encode(), bucket=room.home())
    report = roll_back(room, batch_size=5)
    assert (report.status, report.this_run, report.copied) == (Status.ROLLED_BACK, 23, 8)
    for number, document_id in enumerate(ids):
        assert room.body(document_id) == (document_id if number % 3 else f"{document_id}, newer").encode()


def test_all_tenants_go_back_and_one_that_cannot_stops_no_other(moved: Room) -> None:
    for slug in ("globex", "initech", "never"):
        moved.tenant(slug)
    moved.documents("g", slug="globex")
    moved.documents("i", slug="initech")
    moved.migrate("globex")
    moved.migrate("initech")
    moved.sql("UPDATE s3_migrations SET phase = 'finished' WHERE tenant_id = "
              "(SELECT id FROM tenants WHERE slug = 'globex')")  # fmt: skip
    with moved.services() as services:
        reports = {report.slug: report for report in roll_back_all(services, services.ledger.tenants())}
    assert {slug: report.errors for slug, report in reports.items()} == {"acme": 0, "globex": 1, "initech": 0}
    assert "finished" in (reports["globex"].error or "")
    assert moved.pointer("g")[0] == moved.home("globex")
    assert (moved.pointer("i"), moved.pointer("a")) == ((moved.shared, "k/i"), (moved.shared, "k/a"))


def test_all_tenants_are_swept_beside_each_other(moved: Room) -> None:
    slugs = ["acme", "globex", "initech", "umbrella"]
    for slug in slugs[1:]:
        moved.tenant(slug)
        moved.documents(slug, slug=slug)
        moved.migrate(slug)
    with moved.services() as services:
        roll_back_all(services, services.ledger.tenants())
    for slug in slugs:
        moved.documents(f"{slug}-2", slug=slug)
        moved.put("up", b"by a cached home", bucket=moved.home(slug))
        moved.sql("UPDATE documents SET s3_bucket = %s, s3_key = 'up' WHERE id = %s", moved.home(slug), f"{slug}-2")
    said: list[Progress] = []
    with Services.open(moved.settings, writes=True, report=said.append) as services:
        reports = roll_back_all(services, services.ledger.tenants())
    assert [(report.error, report.documents_returned > 0) for report in reports] == [(None, True)] * len(slugs)
    assert [each.step for each in said if each.subject == moved.shared] == ["list", "idle"], "they share one listing"


def test_another_tenants_object_at_the_old_key_stays(moved: Room) -> None:
    """Its row left the key, another tenant's upload took it: that one's bytes are not ours."""
    moved.tenant("globex")
    moved.put("k/b", b"globex's")
    moved.row("theirs", "k/b", slug="globex", bucket=moved.shared)
    report = roll_back(moved)
    assert moved.body("theirs") == b"globex's"
    assert moved.body("b") == b"b"
    assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "Conflict")]


def test_a_migration_under_way_elsewhere_is_not_disturbed(moved: Room) -> None:
    with (
        moved.services() as one,
        one.locks.hold(one.ledger.tenant("acme").id, "acme"),
        pytest.raises(TryAgain, match="another operator"),
    ):
        roll_back(moved)
    with moved.services() as services:
        assert migrate_one(services, services.ledger.tenant("acme")).status is Status.COMPLETED


def test_writes_at_the_former_home_survive_another_migration(moved: Room) -> None:
    roll_back(moved)
    moved.put(at_home(moved, "b"), b"late, at home", bucket=moved.home())
    assert moved.migrate().status is Status.COMPLETED
    assert moved.body("b") == b"late, at home"


def test_no_migration_covers_what_could_not_be_sent_on_yet(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 2)
    monkeypatch.setattr(busy_rows, "PAUSE_SECONDS", 0.05)
    roll_back(moved)
    moved.put(at_home(moved, "b"), b"late, at home", bucket=moved.home())
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        with pytest.raises(TryAgain, match="1 documents were written at home after the rollback"):
            moved.migrate()
    assert moved.root.get_object(Bucket=moved.home(), Key=at_home(moved, "b"))["Body"].read() == b"late, at home"
    assert moved.migrate().status is Status.COMPLETED
    assert moved.body("b") == b"late, at home"


def test_a_row_that_is_locked_for_a_moment_is_waited_for(moved: Room) -> None:
    roll_back(moved)
    moved.put(at_home(moved, "b"), b"late, at home", bucket=moved.home())
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        threading.Timer(1, busy.rollback).start()
        report = roll_back(moved)
    assert (report.status, report.late_writes) == (Status.ROLLED_BACK, 1)


def test_no_migration_covers_one_of_two_versions(moved: Room) -> None:
    roll_back(moved)
    moved.put(at_home(moved, "b"), b"late, at home", bucket=moved.home())
    moved.put("k/b", b"in its place")
    with pytest.raises(Refused, match="both ends after the rollback: b"):
        moved.migrate()
    [(status, phase, message)] = moved.sql("SELECT status, phase, error_message FROM s3_migrations")
    assert (status, phase) == ("failed", "rolled_back")
    assert "both ends" in message
    assert moved.root.get_object(Bucket=moved.home(), Key=at_home(moved, "b"))["Body"].read() == b"late, at home"
    with moved.services() as services:
        accept(services, services.ledger.tenant("acme"), ["b"], "the one in the shared bucket is right")
    assert moved.migrate().status is Status.COMPLETED
    assert moved.body("b") == b"in its place"


def test_the_status_tells_what_could_not_be_returned(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 1)
    moved.root.delete_object(Bucket=moved.home(), Key=at_home(moved, "a"))
    with psycopg.connect(moved.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        roll_back(moved)
    with moved.services(writes=False) as services:
        told = errors(services.ledger, [services.ledger.tenant("acme")])
    assert [(each.document_id, each.why) for each in told] == [("a", "missing_object"), ("b", "copied")]
    assert told[1].hint == "run `rehouse rollback acme` again"


def test_what_could_not_be_moved_is_no_error_of_the_way_back(room: Room) -> None:
    room.documents("a")
    room.row("lost", "k/lost", bucket=room.shared)
    assert room.migrate().status is Status.FAILED
    assert roll_back(room).status is Status.ROLLED_BACK
    assert room.migrate().errors == 1


def test_a_lock_on_the_way_to_the_old_home_is_waited_for(moved: Room) -> None:
    with moved.services() as services, psycopg.connect(moved.url) as busy:

        def share(told: Progress) -> None:
            """Hold the tenant's row against the last statement of the transaction, and against no other."""
            if told.subject == moved.shared and busy.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                busy.execute("SELECT 1 FROM s3_migrations FOR SHARE")
                threading.Timer(1, busy.rollback).start()

        report = roll_back_one(replace(services, report=share), services.ledger.tenant("acme"))
    assert (report.status, report.errors) == (Status.ROLLED_BACK, 0)


def test_an_interrupted_rollback_never_says_rolled_back(moved: Room) -> None:
    with moved.stopped_at_home() as services:
        (report,) = roll_back_all(services, services.ledger.tenants())
    assert (report.phase, report.status, report.errors) == (Phase.ROLLED_BACK, Status.IN_PROGRESS, 0)
    assert moved.sql("SELECT status, documents_failed FROM s3_migrations") == [("in_progress", 0)]
    assert {moved.pointer(each)[0] for each in "abcd"} == {moved.home()}
    assert roll_back(moved).status is Status.ROLLED_BACK


def test_a_rollback_that_was_interrupted_can_be_given_up(moved: Room) -> None:
    with moved.services() as services, run_inventory(services):
        _, migration = moved.begun(services)
        give_back(services, migration)
        survey.list_shared_buckets(services)
        survey.list_home(services, migration.home_bucket)
        return_documents(ReturnPass(services, migration, "acme", False, services.places(migration.home_bucket), 4))
    assert set(moved.states().values()) == {"copied"}
    report = moved.migrate()
    assert (report.status, report.copied, report.errors) == (Status.COMPLETED, 0, 0)
    assert set(moved.states().values()) == {"flipped"}
    assert moved.sql("SELECT DISTINCT source_bucket FROM s3_migration_documents") == [(moved.shared,)]
    assert {moved.pointer(each)[0] for each in "abcd"} == {moved.home()}


def test_a_dead_runs_unrecorded_copy_is_adopted(moved: Room) -> None:
    roll_back(moved)
    late = b"written late at home"
    moved.put(at_home(moved, "a"), late, moved.home())
    time.sleep(1.1)  # S3 tells whole seconds, and a copy is newer than its source
    for key in (returned("a"), returned("a", etag=md5(late))):
        moved.put(key, late)
    report = roll_back(moved)
    assert (report.status, report.late_writes) == (Status.ROLLED_BACK, 1)
    assert moved.pointer("a") == (moved.shared, returned("a"))
    assert moved.body("a") == late


def test_a_given_up_rollback_forgets_no_late_write(moved: Room) -> None:
    with moved.services() as services, run_inventory(services):
        _, migration = moved.begun(services)
        give_back(services, migration)
        moved.put("k/a", b"written late")
        survey.list_shared_buckets(services)
        survey.list_home(services, migration.home_bucket)
        return_documents(ReturnPass(services, migration, "acme", False, services.places(migration.home_bucket), 4))
    assert moved.migrate().status is Status.COMPLETED
    assert moved.migrate().late_writes == 1
    assert [moved.body(each) for each in "abcd"] == [b"written late", b"b", b"c", b"d"]


def test_what_was_replaced_at_home_migrates_beside_its_copy(moved: Room) -> None:
    home, first = moved.home(), at_home(moved, "a")
    moved.put("new/a", b"a, replaced", home)
    moved.sql("UPDATE documents SET s3_key = 'new/a' WHERE id = 'a'")
    assert roll_back(moved).status is Status.ROLLED_BACK
    report = moved.migrate()
    assert (report.status, report.errors) == (Status.COMPLETED, 0)
    assert moved.pointer("a") == (home, target_key("a", "a.txt", former="new/a"))
    assert moved.body("a") == b"a, replaced"
    assert moved.root.get_object(Bucket=home, Key=first)["Body"].read() == b"a"


def give_back(services: Services, migration: Migration) -> None:
    """Do what a rollback does before it returns the first row."""
    with services.ledger.connection.transaction():
        returns = services.ledger.of(migration, Returns)
        returns.supersede_forward()
        returns.return_home()
        services.ledger.advance(migration, Event.HOME_RETURNED)


def test_writes_at_home_during_a_second_migration_stay(moved: Room) -> None:
    roll_back(moved)
    moved.put("k/new", b"a, and newer")
    moved.sql("UPDATE documents SET s3_key = 'k/new' WHERE id = 'a'")
    home, key = moved.home(), at_home(moved, "a")
    arrived: list[str] = []
    with moved.services() as services:
        engine = services.engine.copy

        def late(tasks: Iterable[CopyTask]) -> Iterator[CopyOutcome]:
            """An upload granted before the rollback arrives just before our copy, at an endpoint that looks at conditions."""
            for task in tasks:
                if task.document_id == "a" and not arrived:
                    arrived.append(moved.put(key, b"written late at home", home))
                if task.document_id == "a" and task.replaces_etag != arrived[0]:
                    yield CopyOutcome(task, fault=Fault("PreconditionFailed", "another object"))
                else:
                    yield from engine([task])

        services.engine.copy = late  # type: ignore[method-assign]
        report = migrate_one(services, services.ledger.tenant("acme"))
    assert arrived
    assert [each.code for each in report.outstanding] == ["target_taken"]
    assert moved.root.get_object(Bucket=home, Key=key)["Body"].read() == b"written late at home"


def test_a_migration_within_the_grace_of_the_way_back_is_noted(moved: Room) -> None:
    roll_back(moved)
    early = moved.migrate()
    assert [note for note in early.notes if "rolled back less than 7 days ago" in note]
    roll_back(moved)
    late = moved.migrate(grace_days=0)
    assert not [note for note in late.notes if "rolled back" in note]
