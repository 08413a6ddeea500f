"""Support databases with other encodings than UTF-8, so that no text of S3 or the application ends a run.

The connection always uses UTF-8, and PostgreSQL converts. If the database lacks characters of a text that we write, such as a
name in a message, they are escaped. A key is never stored escaped; it is left out. A database in SQL_ASCII may hold any bytes
but cannot send bytes that are not UTF-8, so texts of its rows are escaped in SQL (queries.py).
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
    """Return PostgreSQL's name of the database's encoding, such as UTF8."""
    return connection.info.parameter_status("server_encoding") or "UTF8"


def adapt(connection: psycopg.Connection) -> None:
    """Make the connection read and write any text, whatever the database's encoding."""
    encoding = server_encoding(connection)
    if encoding == UNCHECKED:
        _dump_with(connection, lambda text: text.encode("utf-8", "backslashreplace"))
    elif encoding != "UTF8" and (codec := _codec(encoding)):
        _dump_with(connection, lambda text: text.encode(codec, "backslashreplace").decode(codec).encode())


def holder(connection: psycopg.Connection) -> Callable[[str], bool]:
    """Return a function that returns whether the database can hold a text unchanged."""
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
    """Return Python's name of a PostgreSQL encoding; None if Python does not have it."""
    name = _NAMED_OTHERWISE.get(encoding, re.sub(r"^WIN(?=\d)", "cp", encoding))
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
