"""Rows that refuse to be changed are found by halving: the others are changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from rehouse.core.model import Fault
from rehouse.core.row_refusals import Refusal, fault_of, is_about_rows


class RowsRefused(Exception):
    """At least one of the rows refuses to be changed: `fault` says why, `refusal` is what PostgreSQL answered if it was an error.

    The transaction or savepoint is spoilt.
    """

    def __init__(self, fault: Fault, refusal: Refusal | None = None) -> None:
        super().__init__(fault.message)
        self.fault, self.refusal = fault, refusal


@contextmanager
def refusals() -> Iterator[None]:
    """Raise PostgreSQL's errors that are about rows as RowsRefused, any other as it is."""
    try:
        yield
    except psycopg.Error as error:
        refusal = refusal_of(error)
        if not is_about_rows(refusal):
            raise
        raise RowsRefused(fault_of(refusal), refusal) from error


def refusal_of(error: psycopg.Error) -> Refusal:
    """Return what PostgreSQL answered, without the detail."""
    said = error.diag
    table = (said.schema_name, said.table_name) if said.schema_name and said.table_name else None
    return Refusal(
        error.sqlstate, said.message_primary, said.column_name, said.constraint_name, bool(said.context), table
    )


def change_allowed(
    connection: psycopg.Connection, ids: Sequence[str], change: Callable[[Sequence[str]], object]
) -> dict[str, RowsRefused]:
    """Change the rows that can be changed; return the others, each with the reason.

    `change` raises RowsRefused if one of the rows refuses. Of rows that exclude each other the first stays changed, however the
    rows are divided. Within a transaction: each attempt has a savepoint.
    """
    if not ids:
        return {}
    try:
        with connection.transaction():
            change(ids)
    except RowsRefused as refused:
        if len(ids) == 1:
            return {ids[0]: refused}
    else:
        return {}
    middle = len(ids) // 2
    first = change_allowed(connection, ids[:middle], change)
    return first | change_allowed(connection, ids[middle:], change)
