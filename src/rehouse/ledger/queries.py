"""Named statements: `sql/*.sql` files become statements with the mapping's names filled in, rendered once for a catalog.

A statement begins at `-- name: x`; the comment below the head says what it is for. Fields in braces are filled with quoted
identifiers, `%(x)s` stays psycopg's. The fields:

    {documents} {tenants}            the table, with its schema
    {documents.rows}                 the same to read from, where columns that `init` will add may be missing: they read as NULL
    {documents.s3_key}               the column alone, so one writes d.{documents.s3_key}
    {s3_migrations} … {tenant_usage} our tables, with the schema
    {schema} {tenant_id_type} {document_id_type} {document_id_collation}
    {ids_are_unique}                 TRUE where a document's id alone names one row, FALSE where only (tenant, id) does
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from string import Formatter

from psycopg import sql

from rehouse.ledger.catalog import ADDED_COLUMNS, OPTIONAL_COLUMNS, OWN_TABLES, Catalog

_HEAD = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


class Queries(Mapping[str, sql.Composed]):
    """Every named statement of the package, rendered for one catalog: `queries["advance"]`."""

    def __init__(self, catalog: Catalog) -> None:
        self._rendered = {name: fill(text, catalog) for name, text in sources().items()}

    def __getitem__(self, name: str) -> sql.Composed:
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rendered)

    def __len__(self) -> int:
        return len(self._rendered)


def load(catalog: Catalog) -> Queries:
    """Return every named statement, rendered for `catalog`."""
    return Queries(catalog)


@cache
def sources() -> Mapping[str, str]:
    """Return every named statement as written. Raises ValueError if two have one name."""
    found: dict[str, str] = {}
    for entry in sorted(files("rehouse.ledger").joinpath("sql").iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".sql"):
            continue
        for name, text in _statements(entry.read_text(encoding="utf-8")):
            if name in found:
                raise ValueError(f"two statements are named {name}")
            found[name] = text
    return found


def fill(text: str, catalog: Catalog) -> sql.Composed:
    """Fill the fields of `text` from `catalog`. Raises KeyError for a field that does not exist."""
    parts: list[sql.Composable] = []
    for literal, field, _, _ in Formatter().parse(text):
        parts.append(raw(literal))
        if field is not None:
            parts.append(_field(field, catalog))
    return sql.Composed(parts)


def raw(text: str) -> sql.SQL:
    """Return text of our own (or of PostgreSQL's catalog, such as a type) as SQL; never anything a person typed."""
    return sql.SQL(text)


def _statements(text: str) -> Iterator[tuple[str, str]]:
    _, *pieces = _HEAD.split(text)
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        yield name, body.strip().removesuffix(";")


def _field(field: str, catalog: Catalog) -> sql.Composable:
    table, _, column = field.partition(".")
    if column == "rows":
        return _readable(catalog) if table == "documents" else catalog.tenants.identifier
    if column:
        return _column(catalog, table, column)
    if table in {"tenants", "documents"}:
        return (catalog.tenants if table == "tenants" else catalog.documents).identifier
    if table in OWN_TABLES:
        return sql.Identifier(catalog.schema, table)
    return _plain(catalog, table)


def _plain(catalog: Catalog, field: str) -> sql.Composable:
    if field == "schema":
        return sql.Identifier(catalog.schema)
    if field == "document_id_collation":
        collation = catalog.documents.columns[catalog.mapping.documents.id].collation
        return raw(f"COLLATE {collation}" if collation else "")
    if field == "ids_are_unique":
        return raw("TRUE" if catalog.ids_are_unique else "FALSE")
    if field in {"tenant_id_type", "document_id_type"}:
        return raw(getattr(catalog, field))
    raise KeyError(field)


def _column(catalog: Catalog, table: str, column: str) -> sql.Identifier:
    mapped = getattr(catalog.mapping, table)
    if column == "table" or not (
        column in type(mapped).model_fields or (table == "documents" and column in OPTIONAL_COLUMNS)
    ):
        raise KeyError(f"{table}.{column}")
    return sql.Identifier(catalog.column(table, column))


def _readable(catalog: Catalog) -> sql.Composable:
    if not catalog.missing_columns:
        return catalog.documents.identifier
    types = {**ADDED_COLUMNS, "uploaded_at": "timestamptz"}
    absent = sql.SQL(", ").join(
        sql.SQL("NULL::{} AS {}").format(raw(types[name]), sql.Identifier(catalog.column("documents", name)))
        for name in sorted(catalog.missing_columns)
    )
    return sql.SQL("(SELECT *, {} FROM {})").format(absent, catalog.documents.identifier)
