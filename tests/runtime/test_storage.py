"""Each method of a handle, before its tenant is migrated: what it stores, reads and refuses."""

from __future__ import annotations

import urllib.request
from io import BytesIO

import pytest

from rehouse.core.errors import NoSuchDocument


def test_an_upload_is_read_back(room, acme):
    room.row("d1", None)
    stored = acme.upload("d1", "Q3 report.pdf", BytesIO(b"hello"), "application/pdf")
    assert room.pointer("d1") == (stored.bucket, stored.key) == (room.shared, stored.key)
    assert room.body("d1") == b"hello"
    with acme.open("d1") as file:
        assert file.read() == b"hello"
    assert (stored.size, acme.get("d1").size) == (5, 5)


def test_a_download_url_has_the_row_s_name(room, acme):
    room.documents("d1")
    with urllib.request.urlopen(acme.download_url("d1")) as answer:
        assert answer.read() == b"d1"
        assert answer.headers["content-disposition"] == 'attachment; filename="d1.txt"'


def test_a_deleted_document_has_no_object(room, acme):
    room.documents("d1")
    acme.delete("d1")
    assert room.pointer("d1") == (None, None)
    assert room.keys(room.shared) == []
    with pytest.raises(NoSuchDocument):
        acme.open("d1")
