"""Load the named statements of `sql/*.sql` and fill in the mapping's names, once per catalog and statement.

A statement begins at `-- name: x`; the comment below says what it is for. Fields in braces become quoted identifiers or SQL,
`%(x)s` is left to psycopg. A line that ends in `-- if documents.etag` is dropped if that column is not mapped.
The fields:

    {documents} {tenants}            the table, with its schema
    {documents.rows} {tenants.rows}  the same to read from: columns that `init` will add, or that are not mapped, read as NULL
    {documents.s3_key}               the column alone, so one writes d.{documents.s3_key}
    {name.d} {active.t}              the file name of the row `d` of documents; whether the row `t` of tenants is active
    {s3_migrations} … {tenant_usage} our tables, with the schema
    {schema} {schema_name} {tenant_id_type} {document_id_type} {document_id_collation}
    {documents_tenant_type} {tenant_id_collation}
    {bytes.d}                        how many bytes the row `d` of documents counts for, whatever its columns hold
    {is_resized} {trial_triggers}    for the usage triggers
    {row_lock}                       how rows are locked before a flip: UPDATE or NO KEY UPDATE
    {ids_are_unique}                 TRUE if a document's id alone identifies a row, FALSE if only (tenant, id) does
    {documents.is_indexed}           whether our index of pointers has the row; a row that is not in it points to no object of S3
    {key_told.d} {bucket_told.d} …   a readable value of a row `d`, however long its text or far its time
    {states.moved} …                 a group of states of documents: `('flipped', 'removing', 'removed')`
    {staying_codes}                  the codes of documents whose sources a removal leaves
    {row_of_line}                    the text of the statement of that name, which several statements share
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from string import Formatter

from psycopg import sql

from rehouse.core.lifecycle import STATES
from rehouse.core.mapping import ROLES, Kind
from rehouse.core.removals import STAYING_CODES
from rehouse.ledger.catalog import ADDED_COLUMNS, OPTIONAL_COLUMNS, OWN_TABLES, Catalog
from rehouse.ledger.encoding import UNCHECKED

_READ_AS = {Kind.NUMBER: "bigint", Kind.FLAG: "boolean", Kind.TIME: "timestamptz"}
_CONDITION = re.compile(r" -- if (\w+)\.(\w+)$")
LONGEST_KEY_READ = 2048
"""The most bytes of a key to read. A key of S3 has at most 1,024, but a row may hold it percent-encoded, or any other text. The
ledger's index of sources holds at most 2,704.
"""
_IS_INDEXED = "octet_length({documents.s3_key}) + coalesce(octet_length({documents.s3_bucket}), 0) <= 2048"
_TOLD = {
    "key_told": f"CASE WHEN octet_length(@{{documents.s3_key}}) <= {LONGEST_KEY_READ} THEN @{{documents.s3_key}}"
    " ELSE left(@{documents.s3_key}, 80) || '... (' || length(@{documents.s3_key}) || ' characters)' END",
    "key_fault": f"CASE WHEN octet_length(@{{documents.s3_key}}) > {LONGEST_KEY_READ}"
    " THEN 'it has ' || length(@{documents.s3_key}) || ' characters, S3 takes 1,024 bytes' END",
    "id_is_readable": "true",
    "bucket_told": "left(@{documents.s3_bucket}, 255)",
    "name_told": "CASE WHEN octet_length({name.#}) <= 1000 THEN {name.#}"
    " ELSE left({name.#}, 500) || right(substr({name.#}, 501), 500) END",
    "uploaded_at_told": "CASE WHEN @{documents.uploaded_at}::timestamptz > '0001-01-02 00:00Z'"
    " AND @{documents.uploaded_at}::timestamptz < '9999-12-30 00:00Z' THEN @{documents.uploaded_at}::timestamptz END",
}
"""Expressions over a row; `@` stands for its alias with a dot, `#` for its alias."""
_UTF_8 = (
    r"'^([\x01-\x7f]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf][\x80-\xbf]"
    r"|[\xf0-\xf4][\x80-\xbf][\x80-\xbf][\x80-\xbf])*$'"
)
"""A pattern for UTF-8 text in a database in SQL_ASCII, where each byte is a character."""


def _escape_invalid(told: str) -> str:
    return (
        f"CASE WHEN {told} ~ {_UTF_8} THEN {told} ELSE encode(convert_to(left({told}, 500), 'SQL_ASCII'), 'escape') END"
    )


_TOLD_OF_BYTES = {
    **{name: _escape_invalid(_TOLD[name]) for name in ("key_told", "bucket_told", "name_told")},
    "key_fault": f"CASE WHEN @{{documents.s3_key}} ~ {_UTF_8} THEN {_TOLD['key_fault']} ELSE 'it is not UTF-8' END",
    "id_is_readable": f"@{{documents.id}}::text ~ {_UTF_8}",
}
"""Expressions that replace some of _TOLD in a database in SQL_ASCII."""
_HEAD = re.compile(r"^-- name: *(\w+) *$", re.MULTILINE)


class Queries(Mapping[str, sql.SQL]):
    """Every named statement, such as `queries["advance"]`, rendered for one catalog at its first use."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._rendered: dict[str, sql.SQL] = {}

    def __getitem__(self, name: str) -> sql.SQL:
        if name not in self._rendered:
            self._rendered[name] = raw(fill(sources()[name], self._catalog).as_string(None))
        return self._rendered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sources())

    def __len__(self) -> int:
        return len(sources())


def load(catalog: Catalog) -> Queries:
    """Return every named statement for `catalog`."""
    return Queries(catalog)


@cache
def sources() -> Mapping[str, str]:
    """Return every named statement as written.

    Raises ValueError if two have the same name.
    """
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
    """Fill the fields of `text` from `catalog`.

    Raises KeyError for a field that does not exist.
    """
    parts: list[sql.Composable] = []
    for literal, field, _, _ in Formatter().parse("\n".join(_mapped_lines(text, catalog))):
        parts.append(raw(literal))
        if field is not None:
            parts.append(_field(field, catalog))
    return sql.Composed(parts)


def raw(text: str) -> sql.SQL:
    """Return our own text, or text of PostgreSQL's catalog such as a type, as SQL.

    Never pass user input.
    """
    return sql.SQL(text)


def _statements(text: str) -> Iterator[tuple[str, str]]:
    _, *pieces = _HEAD.split(text)
    for name, body in zip(pieces[::2], pieces[1::2], strict=True):
        yield name, body.strip().removesuffix(";")


def _mapped_lines(text: str, catalog: Catalog) -> Iterator[str]:
    for line in text.splitlines():
        condition = _CONDITION.search(line)
        if condition is None:
            yield line
        elif catalog.column(condition[1], condition[2]):
            yield line[: condition.start()]


def _field(field: str, catalog: Catalog) -> sql.Composable:
    table, _, column = field.partition(".")
    if table == "bytes":
        return _bytes(catalog, column)
    if table in _TOLD:
        expressions = _TOLD | _TOLD_OF_BYTES if catalog.encoding == UNCHECKED else _TOLD
        return fill(expressions[table].replace("@", f"{column}.").replace("#", column), catalog)
    if table == "states":
        return raw("(" + ", ".join(f"'{state}'" for state in STATES[column]) + ")")
    if field == "staying_codes":
        return raw("(" + ", ".join(f"'{code}'" for code in sorted(STAYING_CODES)) + ")")
    if field == "documents.is_indexed":
        return fill(_IS_INDEXED, catalog)
    if column == "rows":
        return _readable_relation(catalog, table)
    if table in {"name", "active"}:
        return (_file_name if table == "name" else _activity)(catalog, raw(column))
    if column:
        return _column(catalog, table, column)
    if table in {"tenants", "documents"}:
        return (catalog.tenants if table == "tenants" else catalog.documents).identifier
    if table in OWN_TABLES:
        return sql.Identifier(catalog.schema, table)
    return _plain_field(catalog, table)


def _plain_field(catalog: Catalog, field: str) -> sql.Composable:
    if field == "schema":
        return sql.Identifier(catalog.schema)
    if field == "schema_name":
        return sql.Literal(sql.Identifier(catalog.schema).as_string(None))
    if field in {"document_id_collation", "tenant_id_collation"}:
        owner, table = (
            ("documents", catalog.documents) if field.startswith("document") else ("tenants", catalog.tenants)
        )
        collation = table.columns[catalog.column(owner, "id")].collation
        return raw(f"COLLATE {collation}" if collation else "")
    if field == "is_resized":
        return _resized_condition(catalog)
    if field == "trial_triggers":
        real = catalog.documents.identifier.as_string(None)
        kind = "usage_partition_triggers" if catalog.documents.is_partitioned else "usage_row_triggers"
        triggers = fill(sources()[kind], catalog).as_string(None)
        return raw(triggers.replace(f" ON {real}", " ON pg_temp.rehouse_trial") + ";")
    if field == "documents_tenant_type":
        return raw(catalog.documents.columns[catalog.mapping.documents.tenant_id].type)
    if field == "ids_are_unique":
        return raw("TRUE" if catalog.ids_are_unique else "FALSE")
    if field in {"tenant_id_type", "document_id_type", "row_lock"}:
        return raw(getattr(catalog, field))
    return fill(sources()[field], catalog)


def _column(catalog: Catalog, table: str, column: str) -> sql.Identifier:
    mapped = getattr(catalog.mapping, table)
    if column == "table" or not (
        column in type(mapped).model_fields or (table == "documents" and column in OPTIONAL_COLUMNS)
    ):
        raise KeyError(f"{table}.{column}")
    return _name_column(catalog, table, column)


def _sizes(catalog: Catalog) -> list[sql.Identifier]:
    """Return the columns with a document's size, the preferred one first."""
    mapped = (catalog.column("documents", name) for name in ("file_size", "size"))
    return [sql.Identifier(column) for column in mapped if column]


def _bytes(catalog: Catalog, row: str) -> sql.Composable:
    """Return SQL for a row's bytes: its first size above 0 and below a pebibyte, rounded.

    Without such a size it is 0. So no value makes it fail: no NaN, infinity or negative number, and none too large for a sum.
    """
    number = sql.SQL("CASE WHEN {0} > 0 AND {0} < 1125899906842624 THEN round({0}::numeric) END")
    sizes = [number.format(sql.SQL("{}.{}").format(raw(row), column)) for column in _sizes(catalog)]
    return sql.SQL("coalesce({})").format(sql.SQL(", ").join([*sizes, sql.SQL("0::numeric")]))


def _resized_condition(catalog: Catalog) -> sql.Composable:
    changed = (sql.SQL("OLD.{0} IS DISTINCT FROM NEW.{0}").format(column) for column in _sizes(catalog))
    return sql.SQL(" OR ").join([*changed, sql.SQL("FALSE")])


def _name_column(catalog: Catalog, table: str, column: str) -> sql.Identifier:
    """Return the column, or the name under which {documents.rows} and {tenants.rows} have an unmapped one."""
    return sql.Identifier(catalog.column(table, column) or f"rehouse_no_{column}")


def _readable_relation(catalog: Catalog, table: str) -> sql.Composable:
    found = catalog.documents if table == "documents" else catalog.tenants
    types = {
        name: _READ_AS.get(role.kind, "text") if role.created_as is None else role.created_as
        for name, role in ROLES[table].items()
        if not role.is_off_without_column
    }
    types |= ADDED_COLUMNS if table == "documents" else {}
    absent = [name for name in types if catalog.column(table, name) not in found.columns]
    if not absent:
        return found.identifier
    columns = sql.SQL(", ").join(
        sql.SQL("NULL::{} AS {}").format(raw(types[name]), _name_column(catalog, table, name))
        for name in sorted(absent)
    )
    return sql.SQL("(SELECT *, {} FROM {})").format(columns, found.identifier)


def _file_name(catalog: Catalog, row: sql.SQL) -> sql.Composable:
    """Return SQL for the row's file name.

    Without such a column, for the last part of its key.
    """
    column, key = catalog.column("documents", "original_name"), sql.Identifier(catalog.column("documents", "s3_key"))
    if column:
        return sql.SQL("coalesce({}.{}::text, '')").format(row, sql.Identifier(column))
    return sql.SQL("coalesce(regexp_replace({}.{}, '^.*/', ''), '')").format(row, key)


def _activity(catalog: Catalog, row: sql.SQL) -> sql.Composable:
    """Return SQL for whether a tenant is active: by a flag, an inverted flag, or an empty time of deletion."""
    name = catalog.column("tenants", "is_active")
    if not name:
        return sql.SQL("true")
    if not catalog.is_activity_inverted:
        return sql.SQL("coalesce({}.{}, true)").format(row, sql.Identifier(name))
    if catalog.tenants.columns[name].base_type == "boolean":
        return sql.SQL("NOT coalesce({}.{}, false)").format(row, sql.Identifier(name))
    return sql.SQL("{}.{} IS NULL").format(row, sql.Identifier(name))
