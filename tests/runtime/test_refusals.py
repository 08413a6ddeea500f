"""What fails closed: tenants, rows and buckets that are not as they must be, and bad input. Nothing is left behind by a refusal."""

from __future__ import annotations

from io import BytesIO, StringIO
from typing import Any

import pytest
from tests.support.sampling import LONG_SAMPLE

from rehouse.core.errors import (
    BadUpload,
    BadUsage,
    ForeignPointer,
    GrantUnknown,
    InactiveTenant,
    NoSuchDocument,
    QuotaExceeded,
    Refused,
    UnknownTenant,
)
from rehouse.runtime.storage import TenantStorage
from rehouse.runtime.values import UploadGrant


def first(values: list[Any], *, pairs: bool = False) -> list[Any]:
    """Return the values as parameters; all but the first are long and of CI's sample."""
    others = (value if pairs else (value,) for value in values[1:])
    return [values[0], *(pytest.param(*value, marks=LONG_SAMPLE) for value in others)]


def left(room) -> tuple[list[str], list[tuple[int, ...]]]:
    states = room.sql("SELECT state FROM s3_upload_grants WHERE state NOT IN ('aborted', 'confirmed')")
    return room.keys(room.shared), states


@pytest.mark.parametrize("named", first(["acme-crop", "", "id:", "id:99", 99, "99", "a\0b", "\ud800"]))
def test_an_unknown_tenant_is_refused(storage, named):
    with pytest.raises(UnknownTenant) as caught:
        storage.for_tenant(named)
    assert caught.value.hint


@pytest.mark.parametrize("named", first([None, True, 1.5, b"acme"]))
def test_what_names_no_tenant_is_refused(storage, named):
    with pytest.raises(BadUsage):
        storage.for_tenant(named)


def test_a_name_of_two_tenants_is_refused(room, storage):
    room.sql("INSERT INTO tenants (id, name, slug) VALUES (7, 'seven', 'seven'), (8, 'eight', '7')")
    with pytest.raises(UnknownTenant, match="names 2 tenants"):
        storage.for_tenant("7")
    assert storage.for_tenant(7).slug == storage.for_tenant("id:7").slug == "seven"


def test_an_inactive_tenant_is_refused_at_once_when_read_anew(room, storage, acme):
    room.documents("d1")
    room.sql("UPDATE tenants SET is_active = false")
    with pytest.raises(InactiveTenant):
        TenantStorage.open(room.settings).for_tenant("acme")
    with pytest.raises(InactiveTenant):
        acme.upload("d1", "a.txt", BytesIO(b"x"), "text/plain")


def test_an_inactive_tenant_is_refused_after_routing_seconds(room):
    room.documents("d1")
    with TenantStorage.open(room.settings.model_copy(update={"routing_seconds": 0})) as storage:
        acme = storage.for_tenant("acme")
        room.sql("UPDATE tenants SET is_active = false")
        for call in (acme.get, acme.open, acme.download_url, acme.delete):
            with pytest.raises(InactiveTenant):
                call("d1")


def test_another_tenants_document_is_missing(room, storage, acme):
    room.tenant("globex")
    room.documents("theirs", slug="globex")
    theirs = storage.for_tenant("globex").get("theirs")
    for call in (acme.get, acme.open, acme.download_url, acme.delete, acme.versions, acme.undelete):
        with pytest.raises(NoSuchDocument):
            call("theirs")
    for call in (acme.open, acme.download_url):
        with pytest.raises(NoSuchDocument):
            call(theirs)
    with pytest.raises(NoSuchDocument):
        acme.upload("theirs", "a.txt", BytesIO(b"x"), "text/plain")
    assert room.body("theirs") == b"theirs"
    assert [each.document_id for each in acme.list()] == []


@pytest.mark.parametrize(
    ("where", "key"),
    first(
        [
            ("globex-home", "documents/d1/a.txt"),
            ("nobodys", "k"),
            (None, "../k"),
            (None, "s3://other/k"),
            (None, "temp/4fd25e2a-1111-4222-8333-944444444444/a.txt"),
        ],
        pairs=True,
    ),
)
def test_a_foreign_pointer_is_refused(room, acme, where, key):
    room.tenant("globex", "globex-home")
    room.row("d1", key, bucket=where)
    for call in (acme.open, acme.download_url, acme.delete):
        with pytest.raises(ForeignPointer) as caught:
            call("d1")
        assert caught.value.subject == "d1"
    assert room.pointer("d1") == (where, key)


def test_a_tenant_whose_row_names_another_s_home_is_refused(room, storage):
    room.documents("d1")
    room.migrate()
    room.tenant("globex")
    room.row("g1", None, slug="globex")
    room.sql("ALTER TABLE tenants DROP CONSTRAINT IF EXISTS tenants_aws_bucket_name_key")
    room.sql("UPDATE tenants SET aws_bucket_name = %s WHERE slug = 'globex'", room.home())
    with pytest.raises(ForeignPointer, match="which is another tenant's"):
        storage.for_tenant("globex")
    assert storage.for_tenant("acme").open("d1").read() == b"d1"


def test_a_document_without_a_file_is_refused(room, acme):
    room.row("d1", None)
    for call in (acme.open, acme.download_url, acme.delete):
        with pytest.raises(NoSuchDocument, match="has no object"):
            call("d1")


def test_an_upload_needs_a_row(room, acme):
    with pytest.raises(NoSuchDocument):
        acme.upload("d1", "a.txt", BytesIO(b"x"), "text/plain")
    assert left(room) == ([], [])


@pytest.mark.parametrize("name", first(["a\r\nb.txt", "", " ", "x" * 10_000, "\ud800.txt", 7, "a\0b"]))
def test_a_bad_name_is_refused(room, acme, name):
    room.row("d1", None)
    with pytest.raises(BadUpload):
        acme.upload("d1", name, BytesIO(b"x"), "text/plain")
    with pytest.raises(BadUpload):
        acme.create_upload("d1", name, 1, "text/plain")
    assert left(room) == ([], [])


@pytest.mark.parametrize(
    "name", first(["../../etc/passwd", "a/b\\c.txt", "report\u202efdp.exe", "Übersicht 1.pdf", "CON.txt"])
)
def test_a_strange_name_is_kept_and_its_key_is_safe(room, acme, name):
    room.row("d1", None)
    stored = acme.upload("d1", name, BytesIO(b"x"), "text/plain")
    assert stored.key.startswith("tenants/1/documents/d1/")
    assert "/" not in stored.key.removeprefix("tenants/1/documents/d1/")
    assert room.body("d1") == b"x"


@pytest.mark.parametrize("content_type", first(["text", "a/b\r\nx: y", "x" * 300, 7]))
def test_a_bad_type_is_refused(room, acme, content_type):
    room.row("d1", None)
    with pytest.raises(BadUpload):
        acme.upload("d1", "a.txt", BytesIO(b"x"), content_type)


@pytest.mark.parametrize("size", first([0, 4, 6, -1, "5", 10**15]))
def test_a_stream_of_another_size_is_refused(room, acme, size):
    room.row("d1", None)
    with pytest.raises(BadUpload):
        acme.upload("d1", "a.txt", BytesIO(b"12345"), "text/plain", size=size)
    assert left(room) == ([], [])


def test_a_text_stream_is_refused(room, acme):
    room.row("d1", None)
    with pytest.raises(BadUpload, match="not bytes"):
        acme.upload("d1", "a.txt", StringIO("text"), "text/plain")


@pytest.mark.parametrize(
    "checksum", first([("sha256", "x"), ("md5", "x"), "sha256", ("sha256",), ("crc64nvme", "AAAAAAAAAAA=")])
)
def test_a_bad_checksum_is_refused(room, acme, checksum):
    room.row("d1", None)
    with pytest.raises(BadUpload):
        acme.create_upload("d1", "a.txt", 1, "text/plain", checksum)
    assert left(room) == ([], [])


def test_the_limits_of_the_plan_hold(room, acme):
    room.row("d1", None)
    room.row("d2", None)
    room.sql("UPDATE tenants SET max_storage_gb = 0")
    with pytest.raises(QuotaExceeded) as caught:
        acme.upload("d1", "a.txt", BytesIO(b"xxx"), "text/plain")
    assert caught.value.subject == "acme"
    with pytest.raises(QuotaExceeded):
        acme.create_upload("d1", "a.txt", 3, "text/plain")
    assert left(room) == ([], [])
    assert acme.usage().max_bytes == 0


def test_a_grant_of_another_tenant_is_unknown(room, storage, acme):
    room.tenant("globex")
    room.row("d1", None)
    grant = acme.create_upload("d1", "a.txt", 1, "text/plain")
    for wrong in (grant, grant.grant_id, "no-uuid", "", "4fd25e2a-1111-4222-8333-944444444444"):
        with pytest.raises(GrantUnknown):
            storage.for_tenant("globex").confirm_upload(wrong)
        with pytest.raises(GrantUnknown):
            storage.for_tenant("globex").abort_upload(wrong)


def test_on_commit_needs_a_connection(room, acme):
    room.row("d1", None)
    with pytest.raises(BadUsage, match="no connection"):
        acme.upload("d1", "a.txt", BytesIO(b"x"), "text/plain", on_commit=print)
    assert left(room) == ([], [])


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"grant_id": 1, "parts": []}', "{", '{"parts": [{"x": 1}]}'])
def test_what_is_no_grant_is_refused(text):
    with pytest.raises(Refused, match="not the JSON of an upload grant"):
        UploadGrant.from_json(text)


def test_no_repr_holds_a_signature(room, acme):
    room.row("d1", None)
    grant = acme.create_upload("d1", "a.txt", 1, "text/plain")
    large = acme.create_upload("d1", "a.txt", 10**8, "text/plain")
    assert "Signature" not in f"{grant!r}{large!r}{acme!r}"
    assert "X-Amz-Signature" in grant.to_json()
    assert UploadGrant.from_json(large.to_json()) == large
