"""Find the rows of a batch that refuse an update, by halving the batch, and update the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from rehouse.core.model import Fault
from rehouse.core.row_refusals import Refusal, fault_of, is_about_rows


class RowsRefused(Exception):
    """At least one of the rows refuses the update.

    `fault` says why; `refusal` is PostgreSQL's error, if there was one. The transaction or savepoint has failed.
    """

    def __init__(self, fault: Fault, refusal: Refusal | None = None) -> None:
        super().__init__(fault.message)
        self.fault, self.refusal = fault, refusal


@contextmanager
def translate_refusals() -> Iterator[None]:
    """Translate PostgreSQL's errors about rows into RowsRefused.

    Other errors pass unchanged.
    """
    try:
        yield
    except psycopg.Error as error:
        refusal = refusal_of(error)
        if not is_about_rows(refusal):
            raise
        raise RowsRefused(fault_of(refusal), refusal) from error


def refusal_of(error: psycopg.Error) -> Refusal:
    """Return PostgreSQL's error without its detail."""
    said = error.diag
    table = (said.schema_name, said.table_name) if said.schema_name and said.table_name else None
    return Refusal(
        error.sqlstate, said.message_primary, said.column_name, said.constraint_name, bool(said.context), table
    )


def change_accepting(
    connection: psycopg.Connection, ids: Sequence[str], change: Callable[[Sequence[str]], object]
) -> dict[str, RowsRefused]:
    """Update the rows that accept the update; return the others, each with the reason.

    `change` must raise RowsRefused if one of the rows refuses. If two rows exclude each other, the first is updated, however the
    batch is halved. Inside a transaction each attempt has a savepoint.
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
    first = change_accepting(connection, ids[:middle], change)
    return first | change_accepting(connection, ids[middle:], change)
