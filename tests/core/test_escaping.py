"""Text fit to be shown: whatever comes in, nothing that drives a terminal comes out, and JSON still says the same."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.escaping import escape_controls, escape_json, escape_to_one_line

TEXT = st.text(st.characters() | st.sampled_from("\x1b\x07\x9b\x7f\u202e\u2066\u2028\r\n\t"))


@given(TEXT)
def test_nothing_unseen_is_left_but_breaks(text: str) -> None:
    assert not {each for each in escape_controls(text) if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")} - {
        "\n",
        "\t",
    }
    assert not {
        each for each in escape_controls(text) if unicodedata.bidirectional(each) in ("RLO", "LRO", "RLE", "LRE", "PDF")
    }
    assert not {"\n", "\t"} & set(escape_to_one_line(text))


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_can_be_seen_stays(text: str) -> None:
    assert escape_controls(text) == text


@given(TEXT)
def test_json_says_the_same(text: str) -> None:
    document = escape_json(json.dumps([text], ensure_ascii=False, indent=2))
    assert json.loads(document) == [text]
    assert document == escape_controls(document)
