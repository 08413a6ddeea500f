"""The sample's files are what their type says, and the same everywhere."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.sandbox.content import TYPES, content, docx, pdf, png

LINES = st.lists(st.text(st.characters(blacklist_categories=("Cc", "Cs", "Cn")), max_size=40), max_size=5)


@given(LINES)
def test_a_pdf_finds_its_objects(lines: list[str]) -> None:
    body = pdf(lines)
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", body)[1])  # type: ignore[index]
    count = int(re.match(rb"xref\n0 (\d+)\n", body[start:])[1])  # type: ignore[index]
    offsets = [int(entry) for entry in re.findall(rb"(\d{10}) 00000 n \n", body[start:])]
    assert len(offsets) == count - 1
    for number, offset in enumerate(offsets, 1):
        assert body[offset:].startswith(b"%d 0 obj\n" % number)
    length, stream = re.search(rb"/Length (\d+) >>\nstream\n(.*)\nendstream", body, re.DOTALL).groups()  # type: ignore[union-attr]
    assert int(length) == len(stream)


@given(LINES)
def test_a_docx_opens_and_keeps_its_text(lines: list[str]) -> None:
    with zipfile.ZipFile(io.BytesIO(docx(lines))) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "[Content_Types].xml"
        for name in archive.namelist():
            ElementTree.fromstring(archive.read(name))
        text = ElementTree.fromstring(archive.read("word/document.xml")).itertext()
    assert "".join(text) == "".join(lines)


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_png_is_a_picture_of_its_size(seed: int, side: int) -> None:
    body = png(seed, side)
    assert body[:8] == b"\x89PNG\r\n\x1a\n"
    position, pixels, kinds = 8, b"", []
    while position < len(body):
        (length,) = struct.unpack_from(">I", body, position)
        kind, data = body[position + 4 : position + 8], body[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", body, position + 8 + length)[0] == zlib.crc32(kind + data)
        kinds.append(kind)
        pixels += data if kind == b"IDAT" else b""
        position += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack_from(">II", body, 16) == (side, side)
    assert len(zlib.decompress(pixels)) == side * (1 + side * 3)


@pytest.mark.parametrize("extension", TYPES)
def test_the_seed_alone_decides(extension: str) -> None:
    assert content(extension, "Title", 7) == content(extension, "Title", 7)
    assert content(extension, "Title", 7) != content(extension, "Title", 8)
