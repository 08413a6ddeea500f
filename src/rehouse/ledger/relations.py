"""Tables as PostgreSQL's catalog describes them: columns, constraints, indexes, triggers.

Names are case-sensitive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its SQL type, its length in characters if limited, its number, and whether an INSERT must set it.

    `base_type`: the type without its length; for a domain, the underlying type. `is_generated`: it cannot be written.
    """

    name: str
    type: str
    max_length: int | None
    is_required: bool
    has_default: bool
    collation: str | None
    number: int
    base_type: str
    is_generated: bool


@dataclass(frozen=True, slots=True)
class Index:
    """An index; `columns` is empty if it is partial, on expressions, or not a plain B-tree."""

    name: str
    columns: tuple[str, ...]
    is_unique: bool
    is_valid: bool


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK constraint, with its columns and its definition."""

    name: str
    columns: tuple[str, ...]
    definition: str


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition; `is_leaf`: it has no partitions itself.

    Lists have parents before children.
    """

    oid: int
    schema: str
    name: str
    parent_oid: int
    is_leaf: bool
    invalid_indexes: frozenset[str]
    triggers: frozenset[str]

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name, with its schema."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Table:
    """A table or partitioned table.

    `kind` is pg_class.relkind. `is_blinded`: row security applies to this role. `parent`: the table of which it is a partition.
    """

    schema: str
    name: str
    kind: str
    is_blinded: bool
    columns: dict[str, Column]
    indexes: tuple[Index, ...]
    checks: tuple[Check, ...]
    triggers: frozenset[str]
    oid: int
    parent: str | None = None
    partitions: tuple[Partition, ...] = ()

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name, with its schema."""
        return sql.Identifier(self.schema, self.name)

    @property
    def is_partitioned(self) -> bool:
        """Whether its rows are in partitions."""
        return self.kind == "p"

    def has_index(self, *columns: str, unique: bool = False) -> bool:
        """Return whether a valid index begins with these columns.

        A unique one must have no others.
        """
        if unique:
            wanted = sorted(columns)
            return any(index.is_unique and index.is_valid and sorted(index.columns) == wanted for index in self.indexes)
        return any(index.is_valid and index.columns[: len(columns)] == columns for index in self.indexes)


def find_table(connection: psycopg.Connection, schema: str | None, name: str) -> Table | None:
    """Return the table, or None; look it up in the search path if `schema` is None."""
    return find_tables(connection, schema, [name]).get(name)


def find_tables(connection: psycopg.Connection, schema: str | None, names: Iterable[str]) -> dict[str, Table]:
    """Return those of the tables that exist, in this order.

    The number of queries does not depend on theirs.
    """
    found = connection.execute(_FIND, {"names": list(names), "schema": schema}).fetchall()
    oids = [row[0] for row in found]
    columns, indexes, checks, triggers = (
        _group_by_table(connection, query, oids) if oids else {} for query in (_COLUMNS, _INDEXES, _CHECKS, _TRIGGERS)
    )
    return {
        name: Table(
            schema=found_in,
            name=name,
            kind=kind,
            is_blinded=is_blinded,
            columns={line[0]: Column(*line) for line in columns.get(oid, ())},
            indexes=tuple(Index(n, tuple(c), u, v) for n, c, u, v in indexes.get(oid, ())),
            checks=tuple(Check(n, tuple(c), d) for n, c, d in checks.get(oid, ())),
            triggers=frozenset(line[0] for line in triggers.get(oid, ())),
            oid=oid,
            parent=parent,
            partitions=_partitions(connection, oid) if kind == "p" else (),
        )
        for oid, found_in, name, kind, is_blinded, parent in found
    }


def _group_by_table(connection: psycopg.Connection, query: str, oids: list[int]) -> dict[int, list[tuple[Any, ...]]]:
    """Return a query's rows by table; the first column is the table's oid."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for oid, *line in connection.execute(query, (oids,)):
        found.setdefault(oid, []).append(tuple(line))
    return found


def _partitions(connection: psycopg.Connection, oid: int) -> tuple[Partition, ...]:
    return tuple(
        Partition(found, schema, name, parent, is_leaf, frozenset(invalid), frozenset(triggers))
        for found, schema, name, parent, is_leaf, invalid, triggers in connection.execute(_PARTITIONS, (oid,))
    )


def visible_tables(connection: psycopg.Connection) -> list[str]:
    """Return the names of the database's tables, with the schema if it is not in the search path."""
    return [row[0] for row in connection.execute(_VISIBLE)]


_FIND = """
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, row_security_active(c.oid),
  (SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%(names)s) AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
  AND CASE WHEN %(schema)s::text IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = %(schema)s::text END
ORDER BY array_position(%(names)s::text[], c.relname::text)
"""
_COLUMNS = """
SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod),
       CASE WHEN coalesce(nullif(t.typbasetype, 0), t.oid) IN ('varchar'::regtype, 'bpchar'::regtype)
              AND greatest(a.atttypmod, t.typtypmod) > 4 THEN greatest(a.atttypmod, t.typtypmod) - 4 END,
       a.attnotnull, a.atthasdef OR a.attidentity <> '',
       CASE WHEN a.attcollation <> t.typcollation
            THEN (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l
                  JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation) END,
       a.attnum, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), NULL), a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = ANY(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_INDEXES = """
SELECT i.indrelid, c.relname::text,
       CASE WHEN i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree'
            THEN ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(number, place)
                       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
            ELSE '{}' END,
       i.indisunique, i.indisvalid
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = ANY(%s) ORDER BY c.relname
"""
_CHECKS = """
SELECT conrelid, conname::text,
       ARRAY(SELECT a.attname::text FROM unnest(conkey) k(number)
             JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = k.number),
       pg_get_constraintdef(oid)
FROM pg_constraint WHERE conrelid = ANY(%s) AND contype = 'c' ORDER BY conname
"""
_TRIGGERS = "SELECT tgrelid, tgname::text FROM pg_trigger WHERE tgrelid = ANY(%s) AND NOT tgisinternal"
_PARTITIONS = """
SELECT c.oid, n.nspname::text, c.relname::text, p.parentrelid::oid, p.isleaf,
  ARRAY(SELECT x.relname::text FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND NOT i.indisvalid),
  ARRAY(SELECT g.tgname::text FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
FROM pg_partition_tree(%s) p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.level > 0 ORDER BY p.level, c.oid
"""
_VISIBLE = """
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""
