"""One code before, during and after a migration, a rollback and `finish`: every call goes where the document is."""

from __future__ import annotations

import time
import urllib.request
from datetime import timedelta
from io import BytesIO

import pytest
from tests.support.age_grants import age
from tests.support.data_room import md5

from rehouse.core.errors import NoSuchDocument, Refused
from rehouse.core.lifecycle import Phase
from rehouse.operations import finish as finishing
from rehouse.operations import rollback as rolling_back


def put(grant, body):
    request = urllib.request.Request(grant.url, data=body, method="PUT", headers=dict(grant.headers))
    urllib.request.urlopen(request).close()


def upload(handle, document_id, body=b"hello"):
    return handle.upload(document_id, f"{document_id}.txt", BytesIO(body), "text/plain")


def read(handle, document_id):
    with handle.open(document_id) as file:
        return file.read()


def roll_back(room):
    with room.services() as services:
        return rolling_back.roll_back_one(services, services.ledger.tenant("acme"))


def finish(room):
    with room.services(grace_days=0) as services:
        return finishing.finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))


def test_one_code_through_a_whole_life(room, storage, acme):
    room.documents("old", "kept", "gone")
    room.row("new", None)
    granted = acme.create_upload("kept", "k.txt", 5, "text/plain")
    put(granted, b"early")
    room.migrate(until=Phase.VERIFIED)
    acme.delete("gone")
    upload(acme, "new", b"while verified")
    assert room.migrate().documents_migrated == 3
    home = room.home()
    assert read(acme, "old") == b"old"
    assert acme.confirm_upload(granted).bucket == home
    assert read(acme, "kept") == b"early"
    assert upload(acme, "new", b"at home").bucket == home
    assert storage.for_tenant("acme").download_url("new").count(home) == 1
    roll_back(room)
    assert {document: read(acme, document) for document in ("old", "kept", "new")} == {
        "old": b"old", "kept": b"early", "new": b"at home"
    }  # fmt: skip
    assert upload(acme, "old", b"back").bucket == room.shared
    with pytest.raises(NoSuchDocument):
        acme.open("gone")
    room.migrate()
    assert read(acme, "old") == b"back"
    age(room)
    assert storage.sweep().failed == ()
    finish(room)
    age(room)
    storage.sweep()
    assert {document: read(acme, document) for document in ("old", "kept", "new")} == {
        "old": b"back", "kept": b"early", "new": b"at home"
    }  # fmt: skip
    assert room.pointer("gone") == (None, None)
    # what a rollback has left behind at a former place, and no row leads to: `cleanup` lists it
    assert set(room.keys(room.shared)) <= {"k/kept", "tenants/1/documents/new/new.txt"}


def test_a_deleted_document_comes_back_at_home(room, acme):
    room.documents("d1")
    room.migrate()
    upload(acme, "d1", b"second")
    with pytest.raises(Refused, match="is not deleted"):
        acme.undelete("d1")
    acme.delete("d1")
    assert {each.is_current for each in acme.versions("d1")} == {False}
    assert acme.versions("d1")[0].etag == md5(b"second")
    stored = acme.undelete("d1")
    assert (read(acme, "d1"), stored.bucket) == (b"second", room.home())
    assert acme.versions("d1")[0].is_current


def test_a_bucket_without_versions_gives_nothing_back(room, acme):
    room.documents("d1")
    upload(acme, "d1")
    acme.delete("d1")
    with pytest.raises(Refused, match=f"no version of the document 'd1' is kept in {room.shared}"):
        acme.undelete("d1")


def test_a_copy_crosses_tenants_in_any_phase(room, storage, acme):
    room.tenant("globex")
    room.documents("template")
    for number in range(3):
        room.row(f"g{number}", None, slug="globex")
    globex = storage.for_tenant("globex")
    assert acme.copy_to(globex, "template", "g0").bucket == room.shared
    room.migrate()
    assert acme.copy_to(globex, "template", "g1").bucket == room.shared
    room.migrate("globex")
    assert acme.copy_to(globex, "template", "g2", name="NDA.txt").bucket == room.home("globex")
    assert [read(globex, f"g{number}") for number in range(3)] == [b"template"] * 3
    with pytest.raises(NoSuchDocument):
        acme.copy_to(globex, "template", "template")
    with pytest.raises(NoSuchDocument):
        globex.copy_to(globex, "template", "g0")


def test_a_file_goes_on_where_its_document_was_moved(room, acme):
    body = bytes(range(256)) * 4096
    room.documents("d1")
    upload(acme, "d1", body)
    file = acme.open("d1")
    assert file.read(10) == body[:10]
    file.seek(600_000)
    room.migrate()
    finish(room)
    assert file.read(10) == body[600_000:600_010]
    file.close()


def test_a_file_that_was_not_read_yet_follows_its_row(room, acme):
    room.documents("d1")
    file = acme.open("d1")
    upload(acme, "d1", b"second")
    room.root.delete_object(Bucket=room.shared, Key="k/d1")
    assert file.read() == b"second"


def test_a_known_tenant_is_followed_at_once(room, storage, acme):
    room.documents("d1")
    read(acme, "d1")
    begun = time.monotonic()
    room.migrate()
    assert read(acme, "d1") == b"d1"
    assert upload(acme, "d1").bucket == room.home()
    assert time.monotonic() - begun < 60
