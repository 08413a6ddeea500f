"""Documents by their keys, without Django: what each call costs, how it is counted, and what fails closed."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from psycopg import ClientCursor
from psycopg.sql import SQL
from tests.support.data_room import Room
from tests.support.storage_costs import CountingPool

from rehouse.core.errors import (
    BadUpload,
    DatabaseRefused,
    ForeignPointer,
    NameTaken,
    NoSuchDocument,
    NoSuchObject,
    Refused,
)
from rehouse.ledger.catalog import read as read_catalog
from rehouse.ledger.queries import load
from rehouse.operations import init as initialising
from rehouse.runtime.storage import TenantStorage
from rehouse.runtime.streams import SINGLE_BYTES

PAGE = Path(__file__).parents[2] / "docs" / "django.md"


@pytest.fixture
def by_key(room):
    """The room, whose application writes keys alone."""
    documents = room.settings.mapping.documents.model_copy(update={"by_key": True})
    mapping = room.settings.mapping.model_copy(update={"documents": documents})
    room.settings = room.settings.model_copy(update={"mapping": mapping})
    initialising.initialise(room.settings)
    return room


@pytest.fixture
def files(by_key, storage):
    """The files of acme, with the rights of the application's role."""
    return storage.for_tenant("acme").files


def save(files, name="a.txt", body=b"hello"):
    return files.save(name, BytesIO(body), "text/plain").key


def write_row(room, key, document_id="d1"):
    room.row(document_id, key, file_size=None)


def read(files, key):
    with files.open(key) as file:
        return file.read()


def test_a_file_is_found_before_and_after_its_row(by_key, files):
    key = save(files)
    assert (key, read(files, key), files.get(key).document_id) == ("tenants/1/a.txt", b"hello", "")
    write_row(by_key, key)
    assert (read(files, key), files.get(key).document_id) == (b"hello", "d1")
    assert files.head(key).size == 5
    assert files.list() == (["tenants"], [])


def test_a_taken_name_is_refused(by_key, files):
    key = save(files)
    assert files.is_taken("a.txt")
    with pytest.raises(NameTaken, match=re.escape(key)):
        save(files)
    write_row(by_key, key)
    by_key.sql("DELETE FROM s3_upload_grants")
    with pytest.raises(NameTaken, match=re.escape(key)):
        save(files)
    by_key.put("tenants/1/b.txt")
    assert not files.is_taken("b.txt")
    with pytest.raises(NameTaken):
        save(files, "b.txt")


def test_every_call_by_key_costs_what_the_docs_say(by_key):
    pool = CountingPool(by_key.url)
    with TenantStorage.open(by_key.settings, pool=pool, on_call=pool.calls.append) as storage:
        files = storage.for_tenant("acme").files
        key = save(files)
        write_row(by_key, key)
        pending = save(files, "pending.txt")
        files.delete(save(files, "missing.txt"))
        calls: dict[str, Any] = {
            "save": lambda: save(files, "b.txt"),
            "is_taken": lambda: files.is_taken("c.txt"),
            "open, and read all": lambda: read(files, key),
            "open before the row is there": lambda: read(files, pending),
            "download_url": lambda: files.download_url(key),
            "head": lambda: files.head(key),
            "list": files.list,
            "delete": lambda: files.delete(key),
        }
        pool.cost()
        found = {}
        for name, call in calls.items():
            call()
            found[name] = pool.cost()
    told = PAGE.read_text(encoding="utf-8").partition("\n## What each call costs\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| ([^|]+?) \| (\d+) \| (\d+) \|", told, re.MULTILINE)
    assert {name.replace("`", ""): (int(sql), int(requests)) for name, sql, requests in lines} == found


def test_calls_are_counted_by_kind(by_key):
    records = []
    with TenantStorage.open(by_key.settings, on_call=records.append) as storage:
        files = storage.for_tenant("acme").files
        read(files, save(files))
        with pytest.raises(NoSuchDocument):
            files.open("missing")
    assert [(each.kind, each.failed, each.bytes_out, each.bytes_in) for each in records] == [
        ("files.save", False, 5, 0),
        ("files.open", False, 0, 5),
        ("files.open", True, 0, 0),
    ]


def test_a_missing_object_of_a_row_is_told(by_key, files):
    write_row(by_key, "k/lost")
    with pytest.raises(NoSuchObject, match="k/lost"):
        files.head("k/lost")


def test_two_rows_of_one_key_in_two_places_are_ambiguous(by_key, storage):
    by_key.sql("UPDATE tenants SET aws_bucket_name = 'home-of-acme'")
    files = storage.for_tenant("acme").files
    by_key.row("d1", "same", bucket="home-of-acme")
    by_key.row("d2", "same", bucket=by_key.shared)
    with pytest.raises(Refused, match="2 rows"):
        files.open("same")


def test_a_key_that_nothing_ties_to_the_tenant_is_not_deleted(by_key, files):
    by_key.put("k/orphan")
    with pytest.raises(ForeignPointer, match="k/orphan"):
        files.delete("k/orphan")
    assert "k/orphan" in by_key.keys(by_key.shared)


def test_deleting_a_missing_file_is_no_error(files):
    files.delete("tenants/1/never.txt")


def test_an_object_that_two_rows_share_goes_with_both(by_key, files):
    key = save(files)
    write_row(by_key, key, "d1")
    write_row(by_key, key, "d2")
    files.delete(key)
    assert by_key.sql("SELECT s3_key, s3_bucket FROM documents") == [("", None)] * 2
    assert by_key.keys(by_key.shared) == []


@pytest.mark.parametrize("name", ["", "a\nb", "/a", "../a"])
def test_a_bad_name_is_refused_before_anything_is_sent(by_key, files, name):
    with pytest.raises(BadUpload):
        save(files, name)
    assert by_key.sql("SELECT count(*) FROM s3_upload_grants") == [(0,)]


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", "x" * 2000])
def test_a_key_that_cannot_be_is_missing(files, key):
    with pytest.raises(NoSuchDocument):
        files.open(key)


def test_uploads_by_id_are_untouched_by_the_triggers(by_key, storage):
    acme = storage.for_tenant("acme")
    by_key.row("d1", None)
    for body in (b"first", b"second"):
        acme.upload("d1", "a.txt", BytesIO(body), "text/plain")
        assert by_key.body("d1") == body
    by_key.migrate()
    for body in (b"third", b"fourth"):
        assert acme.upload("d1", "a.txt", BytesIO(body), "text/plain").bucket == by_key.home()
        assert by_key.body("d1") == body
    acme.delete("d1")
    assert by_key.pointer("d1") == (None, None)


def test_a_large_file_is_stored_in_parts(by_key, files):
    body = b"x" * (SINGLE_BYTES + 1)
    key = files.save("large", BytesIO(body), size=len(body)).key
    write_row(by_key, key)
    assert by_key.body("d1") == body


def test_ids_may_be_uuids(application_database_uuid, bucket, s3_server, storage_settings):
    room = Room(application_database_uuid, bucket, s3_server, storage_settings)
    room.tenant("acme")
    room.tenant("globex")
    by_key = room.settings.mapping.documents.model_copy(update={"by_key": True})
    room.settings = room.settings.model_copy(
        update={"mapping": room.settings.mapping.model_copy(update={"documents": by_key})}
    )
    initialising.initialise(room.settings)
    with TenantStorage.open(room.settings) as storage:
        files, others = storage.for_tenant("acme").files, storage.for_tenant("globex").files
        key = save(files)
        write_row(room, key)
        with pytest.raises(ForeignPointer):
            others.open(key)
        room.migrate()
        [(moved,)] = room.sql("SELECT s3_key FROM documents")
        assert (read(files, moved), read(files, key)) == (b"hello", b"hello")
        at_home = save(files, "b.txt")
        assert at_home == "b.txt"
        write_row(room, at_home, "d2")
        files.delete(at_home)
        assert room.pointer("d2") == (None, "")
    room.close()


def test_without_the_setting_files_are_refused(room, acme):
    with pytest.raises(DatabaseRefused, match="triggers"):
        acme.files.is_taken("a")


def test_a_key_is_looked_up_in_the_index(by_key, files):
    by_key.sql(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size) "
        "SELECT 'x' || n, 1, 'x', 'x', CASE n %% 3 WHEN 0 THEN %s WHEN 1 THEN 'home' END, 'k/' || n, 1 "
        "FROM generate_series(1, 20000) n",
        by_key.shared,
    )
    by_key.sql("ANALYZE documents")
    statement = load(read_catalog(by_key.connection, by_key.settings.mapping))["documents_of_key"]
    values = {"tenant_id": 1, "key": "k/7", "buckets": [by_key.shared, "home"]}
    with ClientCursor(by_key.connection) as cursor:
        plan = cursor.execute(SQL("EXPLAIN {}").format(statement), values).fetchall()
    text = "\n".join(line for (line,) in plan)
    assert "rehouse_documents_by_pointer" in text
    assert "Seq Scan" not in text
    assert "rehouse_documents_by_tenant" not in text


def test_init_lets_an_older_ledger_take_files(by_key):
    for table in ("s3_upload_grants", "s3_pending_deletions"):
        by_key.sql(f"ALTER TABLE {table} ALTER document_id SET NOT NULL")
    by_key.sql("DROP INDEX s3_upload_grants_by_key")
    by_key.sql("DROP TRIGGER rehouse_bucket_update ON documents")
    changed = initialising.initialise(by_key.settings).changed
    assert changed == [
        "s3_upload_grants takes files without a row",
        "the index s3_upload_grants_by_key",
        "s3_pending_deletions takes files without a row",
        "the buckets of files are filled in",
    ]
    assert initialising.initialise(by_key.settings).changed == []
