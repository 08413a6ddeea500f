"""The value of Content-Disposition for a download: the name under which a browser saves a file, or shows it.

The value is ASCII, so that it can be part of a header and of a URL. A name of other letters is there twice: plain for old
clients, and encoded (`filename*`), which every present browser prefers.
Sources: RFC 6266 and RFC 8187.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from rehouse.core.naming import MAX_NAME_BYTES, cut_name

_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"
"""What `filename*` holds unescaped, beside letters and digits (RFC 8187, attr-char)."""
_WHITE_SPACE = re.compile("[ \t\r\n\v\f\x85\u2028\u2029]+")
_REMOVED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Control characters, direction marks (`gpj.exe` would look like `exe.jpg`), invisible ones and halves of characters."""
_SEPARATORS = str.maketrans("/\\", "__")
_NOT_PLAIN = re.compile(r"[^ -~]|[\"%\\]")
"""What the plain name does not hold: some clients decode `%41`, and few agree about escaped quotes."""
DEFAULT_NAME = "file"


def content_disposition(name: str, *, inline: bool = False) -> str:
    r"""Return the header's value for a file name; `inline` lets a browser show the file instead of saving it.

    Line breaks, control characters and direction marks are removed, path separators replaced. The name has at most 255 bytes of
    UTF-8; if it is cut, it keeps its extension.

    >>> content_disposition("Q3 report.pdf")
    'attachment; filename="Q3 report.pdf"'
    >>> content_disposition("Übersicht\r\nx: 1.pdf", inline=True)
    'inline; filename="Ubersicht x: 1.pdf"; filename*=UTF-8\'\'%C3%9Cbersicht%20x%3A%201.pdf'
    """
    shown = shown_name(name)
    kind = "inline" if inline else "attachment"
    plain = f'{kind}; filename="{_plain(shown)}"'
    if not _NOT_PLAIN.search(shown):
        return plain
    return f"{plain}; filename*=UTF-8''{quote(shown, safe=_ATTRIBUTE_CHARACTERS)}"


def shown_name(name: str) -> str:
    """Return the name that a browser is given, never empty and on one line."""
    normal = unicodedata.normalize("NFC", name)
    kept = _REMOVED.sub("", _WHITE_SPACE.sub(" ", normal)).translate(_SEPARATORS).strip(" ")
    return cut_name(kept, MAX_NAME_BYTES) if kept.strip(".") else DEFAULT_NAME


def _plain(name: str) -> str:
    """Return the name in ASCII: accents stripped, other characters replaced by an underscore."""
    if name.isascii():
        return _NOT_PLAIN.sub("_", name)
    letters = (char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return _NOT_PLAIN.sub("_", "".join(letters).translate(_SEPARATORS))
