"""Escape names, keys and server messages for display, so that they cannot control the terminal or reverse the text."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = str.maketrans({"\n": "\\n", "\t": "\\t"})


def escape_controls(text: str) -> str:
    """Escape control characters and direction marks; line breaks and tabs stay.

    >>> escape_controls("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def escape_to_one_line(text: str) -> str:
    """Escape a text and its line breaks, so that a name cannot look like another line of the report.

    >>> escape_to_one_line("a\\nb")
    'a\\\\nb'
    """
    return escape_controls(text).translate(_BREAKS)


def count_noun(count: int, noun: str) -> str:
    """Return a count with its noun; the plural gets an s.

    >>> count_noun(1, "document"), count_noun(1200, "open upload"), count_noun(0, "bucket")
    ('1 document', '1,200 open uploads', '0 buckets')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def escape_json(document: str) -> str:
    r"""Return an equal JSON document with invisible characters as `\u202e`.

    JSON has them in strings only.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
