"""Databases whose encoding is not UTF-8: no text that S3 or the application has ends a run.

The connection speaks UTF-8 in any case and PostgreSQL converts. Where it cannot, a text that we write has the characters that the
database lacks escaped (a name in a message, say; a key is never stored so, it is left out). A database in SQL_ASCII holds any
bytes, but sends none that are no UTF-8: what is read of a row is escaped there (queries.py).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

import psycopg
from psycopg.types.string import StrBinaryDumper, StrDumper, StrDumperUnknown

UNCHECKED = "SQL_ASCII"
_DUMPERS = (StrBinaryDumper, StrDumper, StrDumperUnknown)
_NAMED_OTHERWISE = {"EUC_CN": "gb2312", "KOI8R": "koi8_r", "KOI8U": "koi8_u", "UHC": "cp949"}


def server_encoding(connection: psycopg.Connection) -> str:
    """Return the database's encoding as PostgreSQL names it, such as UTF8."""
    return connection.info.parameter_status("server_encoding") or "UTF8"


def adapt(connection: psycopg.Connection) -> None:
    """Let the connection read and write every text, whatever the database's encoding."""
    encoding = server_encoding(connection)
    if encoding == UNCHECKED:
        _dump_with(connection, lambda text: text.encode("utf-8", "backslashreplace"))
    elif encoding != "UTF8" and (codec := _codec(encoding)):
        _dump_with(connection, lambda text: text.encode(codec, "backslashreplace").decode(codec).encode())


def holder(connection: psycopg.Connection) -> Callable[[str], bool]:
    """Return a function that tells whether the database can hold a text as it is."""
    encoding = server_encoding(connection)
    codec = "utf-8" if encoding == UNCHECKED else _codec(encoding) or "utf-8"

    def holds(text: str) -> bool:
        if "\0" in text:
            return False
        try:
            return text.isascii() or bool(text.encode(codec))
        except UnicodeEncodeError:
            return False

    return holds


def _dump_with(connection: psycopg.Connection, encode: Callable[[str], bytes]) -> None:
    for base in _DUMPERS:
        dumper = type(f"Adapted{base.__name__}", (base,), {"dump": lambda _self, text: encode(text)})
        connection.adapters.register_dumper(str, dumper)


def _codec(encoding: str) -> str | None:
    """Return Python's name of an encoding of PostgreSQL's; None if Python has none."""
    name = _NAMED_OTHERWISE.get(encoding, re.sub(r"^WIN(?=\d)", "cp", encoding))
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
