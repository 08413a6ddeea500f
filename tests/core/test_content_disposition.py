"""A download's name reaches the browser whole, and never breaks out of its header."""

from __future__ import annotations

import email.message
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.content_disposition import content_disposition, shown_name

TABLE = {
    "plain": ("a.pdf", 'attachment; filename="a.pdf"'),
    "spaces": ("Q3 report (2).pdf", 'attachment; filename="Q3 report (2).pdf"'),
    "quotes": ('a"b".pdf', "attachment; filename=\"a_b_.pdf\"; filename*=UTF-8''a%22b%22.pdf"),
    "a backslash": ("a\\b.pdf", 'attachment; filename="a_b.pdf"'),
    "percent signs": ("100%25.pdf", "attachment; filename=\"100_25.pdf\"; filename*=UTF-8''100%2525.pdf"),
    "a semicolon": ("a; filename=b.pdf", 'attachment; filename="a; filename=b.pdf"'),
    "accents": ("é.pdf", "attachment; filename=\"e.pdf\"; filename*=UTF-8''%C3%A9.pdf"),
    "NFD": ("e\u0301.pdf", "attachment; filename=\"e.pdf\"; filename*=UTF-8''%C3%A9.pdf"),
    "Chinese": ("报告.pdf", "attachment; filename=\"__.pdf\"; filename*=UTF-8''%E6%8A%A5%E5%91%8A.pdf"),
    "emoji": ("🎉.pdf", "attachment; filename=\"_.pdf\"; filename*=UTF-8''%F0%9F%8E%89.pdf"),
    "CR and LF": ("a\r\nSet-Cookie: b\n.pdf", 'attachment; filename="a Set-Cookie: b .pdf"'),
    "line separators": ("a\u2028b\u0085c.pdf", 'attachment; filename="a b c.pdf"'),
    "a zero byte": ("a\0b.pdf", 'attachment; filename="ab.pdf"'),
    "a right-to-left override": ("invoice_\u202efdp.exe", 'attachment; filename="invoice_fdp.exe"'),
    "directions": ("\u2066a\u2069\u200f.pdf", 'attachment; filename="a.pdf"'),
    "a byte order mark": ("\ufeffa.pdf", 'attachment; filename="a.pdf"'),
    "a lone surrogate": ("a\ud800.pdf", 'attachment; filename="a.pdf"'),
    "a path": ("../../etc/passwd", 'attachment; filename=".._.._etc_passwd"'),
    "a fraction that decomposes": ("⅓.pdf", "attachment; filename=\"1_3.pdf\"; filename*=UTF-8''%E2%85%93.pdf"),
    "nothing": ("", 'attachment; filename="file"'),
    "blanks": (" \r\n\t", 'attachment; filename="file"'),
    "dots": ("..", 'attachment; filename="file"'),
    "only a direction mark": ("\u202e", 'attachment; filename="file"'),
}


@pytest.mark.parametrize(("name", "expected"), TABLE.values(), ids=TABLE)
def test_the_value_is_the_tables(name, expected):
    assert content_disposition(name) == expected
    assert content_disposition(name, inline=True) == expected.replace("attachment", "inline", 1)


@pytest.mark.parametrize("character", ["x", "é", "报", "🎉", '"', "%"])
def test_ten_thousand_characters_are_cut_before_the_extension(character):
    value = content_disposition(character * 10_000 + ".pdf")
    assert len(shown_name(character * 10_000 + ".pdf").encode()) <= 255
    assert shown_name(character * 10_000 + ".pdf").endswith(character + ".pdf")
    assert len(value) < 1100
    assert ".pdf" in value


@given(st.text())
def test_a_browser_reads_the_name_that_is_shown(name):
    value = content_disposition(name)
    assert re.fullmatch("[ -~]+", value)
    header = email.message.Message()
    header["Content-Disposition"] = value
    assert header.get_content_disposition() == "attachment"
    plain, _, encoded = value.removeprefix('attachment; filename="').partition("\"; filename*=UTF-8''")
    if encoded:
        assert unquote(encoded, errors="strict") == shown_name(name)
        assert not set('"%\\') & set(plain)
    else:
        assert plain.removesuffix('"') == shown_name(name)


@given(st.text(max_size=40))
def test_a_shown_name_stays_as_it_is(name):
    assert shown_name(shown_name(name)) == shown_name(name)
