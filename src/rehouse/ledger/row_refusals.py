"""Rows that refuse to be changed are found by halving: the others are changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from rehouse.core.model import Fault
from rehouse.core.row_refusals import Refusal, fault_of, is_about_rows


class RowsRefused(Exception):
    """At least one of the rows refuses to be changed: `fault` says why. The transaction or savepoint is spoilt."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@contextmanager
def refusals() -> Iterator[None]:
    """Raise PostgreSQL's errors that are about rows as RowsRefused, any other as it is."""
    try:
        yield
    except psycopg.Error as error:
        refusal = refusal_of(error)
        if not is_about_rows(refusal):
            raise
        raise RowsRefused(fault_of(refusal)) from error


def refusal_of(error: psycopg.Error) -> Refusal:
    """Return what PostgreSQL answered, without the detail."""
    said = error.diag
    return Refusal(error.sqlstate, said.message_primary, said.column_name, said.constraint_name, bool(said.context))


def change_allowed(
    connection: psycopg.Connection, ids: Sequence[str], change: Callable[[Sequence[str]], object]
) -> dict[str, Fault]:
    """Change the rows that can be changed; return the others, each with the reason.

    `change` raises RowsRefused if one of the rows refuses. Within a transaction: each attempt has a savepoint.
    """
    if not ids:
        return {}
    try:
        with connection.transaction():
            change(ids)
    except RowsRefused as refused:
        if len(ids) == 1:
            return {ids[0]: refused.fault}
    else:
        return {}
    middle = len(ids) // 2
    later = change_allowed(connection, ids[middle:], change)
    return later | change_allowed(connection, ids[:middle], change)
