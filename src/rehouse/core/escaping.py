"""What names, keys and servers say, fit to be shown: nothing in it drives a terminal or turns the direction of writing."""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = str.maketrans({"\n": "\\n", "\t": "\\t"})


def legible(text: str) -> str:
    """Return the text with control characters and directions escaped; lines and tabs stay.

    >>> legible("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def on_one_line(text: str) -> str:
    """Return the text legible and without breaks: a name cannot pass for a line of the report.

    >>> on_one_line("a\\nb")
    'a\\\\nb'
    """
    return legible(text).translate(_BREAKS)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, whose plural ends in s.

    >>> counted(1, "document"), counted(1200, "open upload"), counted(0, "bucket")
    ('1 document', '1,200 open uploads', '0 buckets')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def legible_json(document: str) -> str:
    r"""Return a JSON document that says the same with what is unseen written as `\u202e`; JSON has that in strings alone."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
