"""Find the two mapped tables and check every column. One error lists all problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

import psycopg

from rehouse.config.sections import DocumentsTable, TableMapping, TenantsTable
from rehouse.core.errors import DatabaseRefused
from rehouse.core.mapping import CREATED, ROLES, Role, Written, parse, problem_of
from rehouse.core.near_names import near_names
from rehouse.ledger.relations import Column, Table, find_table, visible_tables

NameSetting = Callable[[str], str]
"""A function from a path such as `mapping.documents.s3_key` to the setting's name for messages."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with the mapping, and a hint. `subject`: the table, or the column as `table.column`."""

    message: str
    hint: str
    subject: str


def usual_name(leaf: str) -> str:
    """Return the environment variable of a setting."""
    return f"REHOUSE_{leaf.replace('.', '_').upper()}"


def find_mapped(connection: psycopg.Connection, mapping: TableMapping, name: NameSetting) -> tuple[Table, Table]:
    """Return the tables of tenants and documents.

    Raises DatabaseRefused with every problem of the mapping.
    """
    tables: list[Table] = []
    problems: list[Problem] = []
    for role, mapped in (("tenants", mapping.tenants), ("documents", mapping.documents)):
        table = _find(connection, mapped)
        wrong = list(_problems(connection, role, mapped, table, name))
        problems += wrong
        tables += [table] if table else []
    if problems:
        subjects = {each.subject for each in problems}
        raise DatabaseRefused(
            "; ".join(each.message for each in problems),
            hint="; ".join(dict.fromkeys(each.hint for each in problems)),
            subject=subjects.pop() if len(subjects) == 1 else None,
        )
    tenants, documents = tables
    return tenants, documents


def _find(connection: psycopg.Connection, mapped: TenantsTable | DocumentsTable) -> Table | None:
    schema, dot, name = mapped.table.rpartition(".")
    return find_table(connection, schema if dot else None, name)


def _problems(
    connection: psycopg.Connection,
    role: str,
    mapped: TenantsTable | DocumentsTable,
    table: Table | None,
    name: NameSetting,
) -> Iterator[Problem]:
    setting = name(f"mapping.{role}.table")
    if table is None:
        near = _nearest_names(mapped.table, visible_tables(connection))
        message = f"the table {mapped.table} does not exist in the database {connection.info.dbname}"
        yield Problem(message, f"{near}set {setting} to the application's table of {role}", mapped.table)
    elif table.parent:
        yield Problem(
            f"{mapped.table} is a partition of {table.parent}", f"set {setting} to {table.parent}", mapped.table
        )
    elif table.kind not in {"r", "p"}:
        hint = f"set {setting} to the table itself (not a view)"
        yield Problem(f"{mapped.table} is not an ordinary table", hint, mapped.table)
    elif "%" in table.name:
        yield _per_cent_problem(f"{table.schema}.{table.name}", setting)
    else:
        for field in ROLES[role]:
            leaf = f"mapping.{role}.{field}"
            if problem := _column_problem(role, field, mapped, table, name(leaf)):
                yield problem
        yield from _double_mappings(role, mapped, name)


def _double_mappings(role: str, mapped: TenantsTable | DocumentsTable, name: NameSetting) -> Iterator[Problem]:
    """Yield a problem for each column that is mapped twice and that rehouse writes.

    The two sizes may share one.
    """
    names = {field: parse(field, str(getattr(mapped, field))).name for field in ROLES[role]}
    for one, other in combinations(names, 2):
        is_written = ROLES[role][one].is_written or ROLES[role][other].is_written
        if names[one] and names[one] == names[other] and is_written and {one, other} != {"size", "file_size"}:
            settings = " and ".join(name(f"mapping.{role}.{field}") for field in (one, other))
            yield Problem(
                f"{mapped.table}.{names[one]} is mapped as {one} and as {other}",
                f"set {settings} to different columns",
                f"{mapped.table}.{names[one]}",
            )


def _column_problem(
    role: str, field: str, mapped: TenantsTable | DocumentsTable, table: Table, setting: str
) -> Problem | None:
    value = str(getattr(mapped, field))
    written, wanted = parse(field, value), ROLES[role][field]
    column = table.columns.get(written.name)
    if "%" in f"{table.schema}{written.name}":
        return _per_cent_problem(f"{table.schema}.{written.name}", setting)
    if not written.name and wanted.may_be_off:
        return None
    if column is None:
        if wanted.is_off_without_column and field not in mapped.model_fields_set:
            return None
        is_default = value == type(mapped).model_fields[field].default
        return (
            None
            if _may_be_missing(field, wanted, written, is_default=is_default)
            else _missing_column_problem(mapped.table, wanted, written, table, setting)
        )
    return _misfit_problem(field, wanted, written, column, shown=mapped.table, setting=setting)


def _per_cent_problem(name: str, setting: str) -> Problem:
    return Problem(
        f"the name {name} has a per cent sign, which would begin a parameter in a statement",
        f"rename it in the database and in {setting}",
        name,
    )


def _may_be_missing(field: str, role: Role, written: Written, *, is_default: bool) -> bool:
    """Return whether `init` may create the column: under its default name, or with `+`.

    So a typo creates no column.
    """
    return (role.created_as is not None and (is_default or written.may_be_created)) or (
        field == "uploaded_at" and is_default
    )


def _missing_column_problem(shown: str, role: Role, written: Written, table: Table, setting: str) -> Problem:
    near = _nearest_names(written.name, table.columns)
    off = ', or to "" if there is none' if role.may_be_off else ""
    made = (
        f", or to {CREATED}{written.name} to have `rehouse init` create it" if role.created_as and written.name else ""
    )
    return Problem(
        f"the table {shown} has no column {written.name}",
        f"{near}set {setting} to the column's name{off}{made}",
        f"{shown}.{written.name}",
    )


def _misfit_problem(
    field: str, role: Role, written: Written, column: Column, *, shown: str, setting: str
) -> Problem | None:
    problem = problem_of(
        role,
        column.base_type,
        max_length=column.max_length,
        is_generated=column.is_generated,
        is_inverted=written.is_inverted,
        is_etag=field == "etag",
    )
    if problem is None:
        return None
    off = (
        f'set {setting} to "" to do without it, or to another column'
        if role.may_be_off
        else (f"change the column's type, or set {setting} to another column")
    )
    return Problem(f"{shown}.{written.name} {problem}", off, f"{shown}.{written.name}")


def _nearest_names(wanted: str, existing: Iterable[str]) -> str:
    names = sorted(existing)
    close = near_names(wanted, names)
    if close:
        return f"the nearest: {', '.join(close)}; "
    return f"there are: {', '.join(names[:12])}; " if names else "there is none; "
