"""Search the columns of the database outside the mapping for object keys.

Each table is read once for all its columns and all keys. PostgreSQL sends the values and this module finds the keys, because
comparing with each key in PostgreSQL takes ten times as long. Reading stops at a time limit, and a large table is only sampled.
Nothing is written.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import psycopg
from psycopg import sql

from rehouse.core.escaping import count_noun
from rehouse.core.model import Migration
from rehouse.core.pointers import KeyFinder
from rehouse.ledger.catalog import OWN_TABLES, VERSION_TABLE
from rehouse.ledger.encoding import UNCHECKED
from rehouse.ledger.faults import translate_error
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.rows import rows_of, rows_of_whole, value_of

READ_AT_ONCE = 1 << 18
"""How many bytes of rows are searched together first; usually none of them mentions a key."""
ENOUGH = 10
"""A sample is large enough if it would hold, on average, so many rows of a column that names each key once."""
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class Column(NamedTuple):
    """A column; its text is `schema.table.column`.

    `kind`: pg_class.relkind. `missing_grant`: the statements that let this role read it, None if it may.
    """

    schema: str
    table: str
    name: str
    kind: str
    missing_grant: str | None
    has_foreign_partitions: bool

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}.{self.name}"


class Limits(NamedTuple):
    """How many seconds to read a table, and how many bytes of it.

    `table_bytes` None: all of it.
    """

    seconds: int
    table_bytes: int | None


class Unchecked(NamedTuple):
    """A column that was not searched, or not enough of it, and why."""

    column: str
    message: str


@dataclass
class FoundKeys:
    """The result of a search.

    `rows`: column → owner of a key → how many rows mention a key. `keys`: the keys that are mentioned. `in_part`: column → the
    share of it that was read. `unchecked`: the columns that were not searched. `columns`: how many were searched.
    """

    rows: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    keys: set[str] = field(default_factory=set)
    in_part: dict[str, float] = field(default_factory=dict)
    unchecked: list[Unchecked] = field(default_factory=list)
    columns: int = 0


class Pointers:
    """The columns outside the mapping, read over the ledger's connection."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._connection = ledger.connection

    def columns(self) -> list[Column]:
        """Return every column that may hold a key, table by table."""
        catalog = self._ledger.catalog
        values = {
            "schema": catalog.schema,
            "own": [*OWN_TABLES, VERSION_TABLE],
            "documents": catalog.documents.name,
            "key": catalog.column("documents", "s3_key"),
        }
        rows = rows_of(self._connection, self._ledger.queries["columns_that_hold_text"], values)
        return [Column(**row._asdict()) for row in rows]

    def sources(self, migration: Migration, limit: int | None) -> list[str]:
        """Return the keys of a tenant's sources that are not removed yet.

        With `limit`, always the same sample of them.
        """
        values = {"tenant_id": migration.tenant_id, "home_bucket": migration.home_bucket, "limit": limit}
        return self._keys("sources_to_look_for", values)

    def of_documents(self, limit: int) -> list[str]:
        """Return about `limit` keys of documents of all tenants."""
        table = self._ledger.catalog.documents.identifier.as_string(self._connection)
        expected = value_of(self._connection, self._ledger.queries["rows_expected"], {"table": table}) or 0
        percent = min(100.0, 1000.0 * limit / max(int(expected), 1))
        return self._keys("keys_to_look_for", {"percent": percent, "limit": limit})

    def orphans(self, bucket: str, default_bucket: str, limit: int) -> list[tuple[str, int]]:
        """Return (key, bytes) of at most `limit` objects in the inventory that no row and no migration knows."""
        values = {"run_id": self._ledger.run_id, "bucket": bucket, "default_bucket": default_bucket, "limit": limit}
        rows = rows_of_whole(self._connection, self._ledger.queries, "some_orphans", values)
        return [(str(row.key), int(row.size)) for row in rows]

    def look(
        self, columns: Iterable[Column], owners: Mapping[str, Sequence[str]], limits: Limits
    ) -> Iterator[FoundKeys]:
        """Search columns for keys (each with its owners).

        Yield the result so far after each table.
        """
        finder, found = KeyFinder(owners), FoundKeys()
        for _, group in groupby(columns, key=lambda each: (each.schema, each.table)):
            table = list(group)
            readable = [each for each in table if _obstacle(each) is None]
            found.unchecked += [Unchecked(str(each), reason) for each in table if (reason := _obstacle(each))]
            if readable:
                try:
                    self._read(readable, finder, owners, limits, found)
                except psycopg.Error as error:
                    if self._connection.closed:
                        raise
                    reason = _reason(error, limits)
                    found.unchecked += [Unchecked(str(each), reason) for each in readable]
            yield found

    def _keys(self, name: str, values: Mapping[str, object]) -> list[str]:
        return [str(row.key) for row in rows_of(self._connection, self._ledger.queries[name], values)]

    def _read(
        self,
        columns: Sequence[Column],
        finder: KeyFinder,
        owners: Mapping[str, Sequence[str]],
        limits: Limits,
        found: FoundKeys,
    ) -> None:
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION READ ONLY")
            self._connection.execute("SELECT set_config('statement_timeout', %s, true)", [str(limits.seconds * 1000)])
            share = self._share(columns[0], limits.table_bytes)
            statement = _statement(columns, finder.shortest_bytes, share).as_bytes(self._connection)
            if self._ledger.catalog.encoding == UNCHECKED:  # else it refuses to send bytes that are not UTF-8
                self._connection.execute("SET LOCAL client_encoding = 'SQL_ASCII'")
            with self._connection.cursor().copy(statement) as copied:
                for lines in _batches(copied):
                    _search(lines, columns, finder, owners, found)
        found.columns += len(columns)
        if share < 1:
            found.in_part |= {str(each): share for each in columns}
        if len(owners) * share < min(ENOUGH, len(owners)):
            reason = f"only {share:.2%} of the table was read"
            found.unchecked += [Unchecked(str(each), reason) for each in columns]

    def _share(self, column: Column, most: int | None) -> float:
        if most is None:
            return 1.0
        table = sql.Identifier(column.schema, column.table).as_string(self._connection)
        size = value_of(self._connection, self._ledger.queries["size_of_table"], {"table": table}) or 0
        return min(1.0, most / max(int(size), 1))


def _obstacle(column: Column) -> str | None:
    if column.kind == "f" or column.has_foreign_partitions:
        return "it is in another database (a foreign table)"
    return f"this role may not read it: {column.missing_grant}" if column.missing_grant else None


def _reason(error: psycopg.Error, limits: Limits) -> str:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"it was not read within {count_noun(limits.seconds, 'second')}"
    return translate_error(error).message


def _statement(columns: Sequence[Column], shortest_bytes: int, share: float) -> sql.Composed:
    """Return the COPY that sends the values long enough to hold a key.

    It samples the table if `share` is below 1.
    """
    texts = [sql.SQL("{}::text").format(sql.Identifier(each.name)) for each in columns]
    shortest = sql.Literal(shortest_bytes)
    values = sql.SQL(", ").join(
        sql.SQL("CASE WHEN octet_length({0}) >= {1} THEN {0} END").format(text, shortest) for text in texts
    )
    is_long_enough = sql.SQL(" OR ").join(sql.SQL("octet_length({}) >= {}").format(text, shortest) for text in texts)
    # Tables that inherit from a plain table are read on their own; partitions are read with their parent.
    only = sql.SQL("ONLY " if columns[0].kind == "r" else "")
    sample = sql.SQL(" TABLESAMPLE SYSTEM ({})").format(sql.Literal(100 * share)) if share < 1 else sql.SQL("")
    return sql.SQL("COPY (SELECT {} FROM {}{}{} WHERE {}) TO STDOUT").format(
        values, only, sql.Identifier(columns[0].schema, columns[0].table), sample, is_long_enough
    )


def _batches(copied: Iterable[bytes | bytearray | memoryview]) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    for line in copied:
        lines.append(bytes(line))
        size += len(line)
        if size >= READ_AT_ONCE:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def _search(
    lines: Sequence[bytes],
    columns: Sequence[Column],
    finder: KeyFinder,
    owners: Mapping[str, Sequence[str]],
    found: FoundKeys,
) -> None:
    if not finder.may_mention(_plain(b"".join(lines))):
        return
    for line in lines:
        if not finder.may_mention(_plain(line)):
            continue
        for column, value in zip(columns, line.rstrip(b"\n").split(b"\t"), strict=True):
            if keys := finder.find_mentions(_plain(value)):
                found.keys |= keys
                found.rows[str(column)].update({owner for key in keys for owner in owners[key]})


def _plain(copied: bytes) -> str:
    """Decode a value of COPY.

    Bytes that are not UTF-8 (in a database in SQL_ASCII) cannot be part of a key.
    """
    text = copied.decode("utf-8", "replace")
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text) if "\\" in text else text
