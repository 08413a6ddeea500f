"""Types of uploads by their first bytes."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.runtime.content_types import HEAD_BYTES, find_mismatch

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def _docx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<document/>")
    return file.getvalue()


PDF = b"%PDF-1.7\n1 0 obj"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"
HEIC = b"\0\0\0\x24ftypheic\0\0\0\0"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'
HTML = b"<!DOCTYPE html><html><script>alert(1)</script>"
EXE = b"MZ\x90\0\3\0\0\0" + b"\0" * 60 + b"PE\0\0"


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("application/pdf", PDF),
        ("image/png", PNG),
        ("image/jpeg", JPEG),
        ("image/jpg", JPEG),
        ("IMAGE/JPEG; q=1", JPEG),
        ("image/heic", HEIC),
        ("image/svg+xml", SVG),
        ("text/html; charset=utf-8", HTML),
        (DOCX, _docx()),
        ("application/zip", _docx()),
        ("text/plain", b"hello"),
        ("text/csv", b"a,b\n1,2\n"),
        ("audio/mpeg", b"\xff\xfb\x90\x44" + b"\0" * 40),
        ("application/json", b'{"a": 1}'),
        ("application/x-own", b"own"),
        ("text/plain", b""),
        ("", EXE),
        ("application/octet-stream", EXE),
    ],
)
def test_bytes_of_the_declared_type_pass(declared: str, head: bytes) -> None:
    assert find_mismatch(declared, head) is None


@pytest.mark.parametrize(
    ("declared", "head", "says"),
    [
        ("application/pdf", b"hello", "do not begin like application/pdf"),
        ("application/pdf", b"", "do not begin like application/pdf"),
        ("application/pdf", HTML, "of the type text/html"),
        ("image/png", JPEG, "of the type image/jpeg"),
        ("image/png", EXE, "portable-executable"),
        ("text/plain", EXE, "portable-executable"),
        ("text/csv", PDF, "of the type application/pdf"),
        (DOCX, PDF, "of the type application/pdf"),
    ],
)
def test_other_bytes_are_named(declared: str, head: bytes, says: str) -> None:
    assert says in (find_mismatch(declared, head) or "")


@given(st.binary(max_size=HEAD_BYTES), st.sampled_from(["application/pdf", "text/plain", "", "a/b", "image/png"]))
def test_any_bytes_are_judged(head: bytes, declared: str) -> None:
    found = find_mismatch(declared, head)
    assert found is None or found.startswith("the bytes")
    assert declared or found is None
