"""Cleanup tells why each object is still in the shared bucket, and removes a bucket only when nobody needs it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.data_room import Room

from rehouse.cli.commands.cleanup import show_cleanup
from rehouse.core.errors import Refused, TryAgain
from rehouse.core.lifecycle import Phase
from rehouse.ledger.lock import Locks
from rehouse.operations import cleanup as cleaning
from rehouse.operations import finish as finishing
from rehouse.operations.accept import accept
from rehouse.operations.cleanup import BucketLeft
from rehouse.runtime.storage import TenantStorage


def cleanup(room: Room, **more: Any) -> BucketLeft:
    with room.services(writes=False, **more) as services:
        [left] = cleaning.cleanup(services)
        return left


def drop(room: Room, bucket: str | None = None, *, keep_empty: bool = False) -> BucketLeft:
    with room.services() as services:
        return cleaning.drop_bucket(services, bucket or room.shared, keep_empty=keep_empty)


def finished(room: Room, *document_ids: str) -> Room:
    """Move documents and remove their sources."""
    room.documents(*document_ids)
    room.migrate()
    finish(room)
    return room


def finish(room: Room) -> None:
    with room.services() as services:
        finishing.finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))


def kinds(left: BucketLeft) -> dict[tuple[str, str | None], tuple[str, ...]]:
    return {(each.category, each.slug): each.examples for each in left.left}


def is_there(room: Room) -> bool:
    try:
        room.root.head_bucket(Bucket=room.shared)
    except ClientError:
        return False
    return True


def versioned(room: Room) -> None:
    room.root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": "Enabled"})


def test_every_object_is_told_once_with_its_reason(room: Room) -> None:
    room.documents("moved", "late", "both", "dropped", "source", "rewritten", "emptied")
    room.put("lost-and-found")
    room.put("shared-by-two", b"two")
    room.row("mine", "shared-by-two", bucket=room.shared)
    room.tenant("other")
    room.row("theirs", "shared-by-two", slug="other", bucket=room.shared)
    room.documents("unmoved", slug="other")
    room.migrate()
    room.documents("kept")
    with room.services() as services:
        accept(services, services.ledger.tenant("acme"), ["kept"], "on purpose")
    room.put("documents/rewritten/rewritten.txt", b"written at home", bucket=room.home())
    room.root.delete_object(Bucket=room.home(), Key="documents/emptied/emptied.txt")
    room.put("k/late", b"written late")
    room.put("k/both", b"written late")
    room.put("returned/acme/moved/x", b"r")
    room.sql("UPDATE s3_migration_documents SET error_code = 'Conflict' WHERE document_id = 'both'")
    room.sql("UPDATE s3_migration_documents SET state = 'superseded' WHERE document_id = 'dropped'")
    room.sql(
        "UPDATE s3_migration_documents SET source_bucket = target_bucket, source_key = target_key, target_bucket = %s,"
        " target_key = 'returned/acme/moved/x' WHERE document_id = 'moved'",
        room.shared,
    )
    room.put("thumbnails/1")
    room.sql("CREATE TABLE thumbnails (key text)")
    room.sql("INSERT INTO thumbnails VALUES ('thumbnails/1')")
    room.put("swept-next")
    record = "INSERT INTO s3_pending_deletions (tenant_id, document_id, bucket, key) VALUES (1, 'x', %s, 'swept-next')"
    room.sql(record, room.shared)
    left = cleanup(room)
    assert kinds(left) == {
        ("named_elsewhere", None): ("thumbnails/1",),
        ("accepted", "acme"): ("k/kept",),
        ("changed", "acme"): ("k/late",),
        ("conflict", "acme"): ("k/both",),
        ("orphan", None): ("k/moved", "lost-and-found"),
        ("pointed_at", "other"): ("k/unmoved",),
        ("quarantined", "acme"): ("shared-by-two",),
        ("returned", "acme"): ("returned/acme/moved/x",),
        ("source", "acme"): ("k/source",),
        ("stays", "acme"): ("k/emptied",),
        ("superseded", "acme"): ("k/dropped",),
        ("upload", "acme"): ("swept-next",),
    }
    in_utf_8 = set(cleaning.CATEGORIES) - {"other_encoding"}  # test_encodings.py has this one
    assert {each.category for each in left.left} == in_utf_8
    assert sum(each.objects for each in left.left) == left.objects == len(room.keys(room.shared))
    assert sum(each.size for each in left.left) == left.size
    assert {each.code for each in left.left if each.category == "quarantined"} == {"other_tenants_object"}
    assert {each.code: each.examples for each in left.left if each.category == "stays"} == {
        "home_changed": ("k/rewritten",),
        "home_missing": ("k/emptied",),
    }


def test_rows_at_no_object_are_shown_and_keep_the_bucket(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    finished(room, "a")
    for number in range(5):
        room.row(f"lost{number}", f"nowhere/{number}", bucket=room.shared)
    room.sql(
        "INSERT INTO documents (id, original_name, filename, size, s3_key) VALUES ('x', '', '', 1, 'x'), ('y', '', '', 1, 'y')"
    )
    left = cleanup(room)
    assert [(each.slug, each.rows, each.without_object, each.examples) for each in left.rows_by_tenant] == [
        ("acme", 5, 5, ("lost0", "lost1", "lost2")),
        (None, 2, 2, ("x", "y")),
    ]
    show_cleanup([left])
    told = capsys.readouterr().out
    assert "7 rows point into it\n7 rows among these without an object:" in told
    assert "lost0, lost1, lost2" in told
    assert "Nothing is left" not in told
    with pytest.raises(Refused, match=r"7 rows point into it \(acme: 5, no tenant: 2\)"):
        drop(room)


def test_the_tenants_that_keep_a_bucket_are_shown(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    finished(room, "a")
    room.tenant("globex", room.shared)
    room.sql(
        "INSERT INTO s3_migrations (tenant_id, phase, status, home_bucket)"
        " SELECT id, 'finished', 'completed', 'x' FROM tenants WHERE slug = 'globex'"
    )
    with pytest.raises(Refused, match="it is the home of globex"):
        drop(room)
    room.tenant("initech")
    left = cleanup(room)
    assert (left.homes, left.not_finished, left.rows_by_tenant) == (("globex",), ("initech",), ())
    show_cleanup([left])
    told = capsys.readouterr().out
    assert "Not finished: initech\nHome of: globex\n" in told
    assert "Nothing is left" not in told


def test_a_refusal_counts_all_that_is_there(room: Room) -> None:
    finished(room, "a")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: room.put(f"o/{number:04}"), range(1012)))
    with pytest.raises(Refused, match=r"still holds 1,012 objects: o/0000, .*, o/0009 and 1,002 more$"):
        drop(room)


def test_before_anything_was_begun_rows_and_orphans_are_told(room: Room) -> None:
    room.documents("a", "b")
    room.put("c/unnamed")
    room.row("c", "c/unnamed")
    room.put("nobody's")
    left = cleanup(room)
    assert kinds(left) == {("orphan", None): ("nobody's",), ("pointed_at", "acme"): ("c/unnamed", "k/a", "k/b")}
    assert left.older is None


def test_many_of_a_kind_are_counted_and_three_are_named(room: Room) -> None:
    for number in range(7):
        room.put(f"o/{number}", b"12")
    [kind] = cleanup(room).left
    assert (kind.objects, kind.size, kind.examples) == (7, 14, ("o/0", "o/1", "o/2"))


def test_what_a_versioned_bucket_keeps_is_counted(room: Room) -> None:
    versioned(room)
    room.put("orphan", b"1")
    room.put("orphan", b"22")
    finished(room, "a")
    older = cleanup(room).older
    assert older is not None
    assert (older.versions, older.size, older.delete_markers) == (2, 2, 1)


def test_a_bucket_that_nobody_needs_can_be_kept_empty(room: Room) -> None:
    versioned(room)
    finished(room, "a", "b")
    left = drop(room, keep_empty=True)
    assert (left.kept_empty, left.is_removed) == (True, False)
    assert is_there(room)
    assert "Versions" not in room.root.list_object_versions(Bucket=room.shared)
    assert drop(room).is_removed


def test_a_bucket_that_nobody_needs_goes(room: Room) -> None:
    finished(room, "a", "b")
    assert cleanup(room).objects == 0
    assert drop(room).is_removed
    assert not is_there(room)
    assert room.body("a") == b"a"
    assert room.sql("SELECT reason FROM s3_migration_events WHERE event = 'shared_bucket_removed'") == [(room.shared,)]


def test_the_versions_of_removed_sources_go_with_it(room: Room) -> None:
    versioned(room)
    room.documents("a")
    room.put("k/a", b"a second version")
    finished(room, "b")
    drop(room)
    assert not is_there(room)
    assert room.body("a") == b"a second version"


def open_uploads(room: Room) -> list[str]:
    return [each["Key"] for each in room.root.list_multipart_uploads(Bucket=room.shared).get("Uploads", [])]


def test_open_uploads_are_told_and_keep_the_bucket(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    finished(room, "a")
    before = datetime.now(UTC) - timedelta(seconds=2)
    begun = [room.root.create_multipart_upload(Bucket=room.shared, Key=key) for key in ("large/a", "large/b")]
    left = cleanup(room)
    assert (left.objects, left.uploads) == (0, 2)
    assert left.oldest_upload
    assert before < left.oldest_upload < datetime.now(UTC) + timedelta(seconds=2)
    show_cleanup([left])
    told = capsys.readouterr().out
    assert "2 multipart uploads are open, the oldest from 20" in told
    assert "Nothing is left" not in told
    with pytest.raises(Refused, match="large/a") as refused:
        drop(room)
    assert begun[1]["UploadId"] in refused.value.message
    assert "abort-multipart-upload" in refused.value.hint
    assert open_uploads(room) == ["large/a", "large/b"]
    for each in begun:
        room.root.abort_multipart_upload(Bucket=room.shared, Key=each["Key"], UploadId=each["UploadId"])
    show_cleanup([cleanup(room)])
    assert "Nothing is left" in capsys.readouterr().out
    assert drop(room).is_removed


def test_an_upload_that_is_begun_meanwhile_keeps_the_bucket(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    versioned(room)
    finished(room, "a")
    delete = cleaning.delete_versions

    def deleting(*arguments: Any) -> int:
        room.root.create_multipart_upload(Bucket=room.shared, Key="large/meanwhile")
        return delete(*arguments)

    monkeypatch.setattr(cleaning, "delete_versions", deleting)
    with pytest.raises(Refused, match="large/meanwhile"):
        drop(room)
    assert is_there(room)
    assert open_uploads(room) == ["large/meanwhile"]


@pytest.mark.parametrize("need", ["an object", "a row", "a row without a bucket", "a tenant", "a home"])
def test_a_bucket_that_somebody_needs_stays(room: Room, need: str) -> None:
    finished(room, "a")
    if need == "an object":
        room.put("orphan")
    elif need == "a row":
        room.sql(
            "INSERT INTO documents (id, original_name, filename, s3_bucket, s3_key, size) VALUES ('x','x','x',%s,'x',1)",
            room.shared,
        )
    elif need == "a row without a bucket":
        room.sql("INSERT INTO documents (id, original_name, filename, s3_key, size) VALUES ('x', 'x', 'x', 'x', 1)")
    elif need == "a tenant":
        room.tenant("later")
    else:
        room.sql("UPDATE tenants SET aws_bucket_name = %s", room.shared)
    with pytest.raises(Refused) as refused:
        drop(room)
    assert refused.value.hint
    assert is_there(room)


def test_versions_unknown_to_the_ledger_keep_the_bucket(room: Room) -> None:
    versioned(room)
    room.put("orphan")
    finished(room, "a")
    room.root.delete_object(Bucket=room.shared, Key="orphan")
    before = room.root.list_object_versions(Bucket=room.shared)
    with pytest.raises(Refused, match="orphan"):
        drop(room)
    after = room.root.list_object_versions(Bucket=room.shared)
    assert len(after["Versions"]) == len(before["Versions"]) == 2


def test_only_a_shared_bucket_goes(room: Room) -> None:
    finished(room, "a")
    with pytest.raises(Refused, match="not one of the shared"):
        drop(room, room.home())
    assert room.body("a") == b"a"


def test_a_bucket_does_not_go_while_somebody_works(room: Room) -> None:
    finished(room, "a")
    with Locks(room.url) as theirs:
        theirs.acquire(room.sql("SELECT id FROM tenants")[0][0])
        with pytest.raises(TryAgain):
            drop(room)
    assert is_there(room)


def test_uploads_of_the_storage_are_told_from_orphans(room):
    room.documents("a", "b")
    room.migrate(until=Phase.PLANNED)
    with TenantStorage.open(room.settings) as storage:
        acme = storage.for_tenant("acme")
        grant = acme.create_upload("a", "a.txt", 1, "text/plain")
        room.put(f"temp/{grant.grant_id}/a.txt")
        room.put("temp/somebody/b.txt")
        acme.upload("b", "b.txt", BytesIO(b"new"), "text/plain")
    found = kinds(cleanup(room))
    assert found["upload", "acme"] == ("k/b", f"temp/{grant.grant_id}/a.txt")
    assert found["orphan", None] == ("temp/somebody/b.txt",)
