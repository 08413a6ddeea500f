"""Rows that PostgreSQL refuses to update: which errors concern a single row, and what the ledger records.

Such an error is the error of one document and does not stop the run. The ledger records the primary message and the names in
the error, but not the detail, which may contain values of the row.
"""

from __future__ import annotations

from typing import NamedTuple

from rehouse.core.model import Fault

ROW_REFUSED = "RowRefused"
HINTS = {
    ROW_REFUSED: "change the row, or what refuses it (the message names it), then run `rehouse migrate SLUG --only-failed`"
}
"""What to do, by error code, for `status --errors`."""

LONGEST_MESSAGE = 300
ABOUT_THE_SESSION = frozenset({"08", "25", "28", "40", "53", "57", "58"})
"""Classes of SQLSTATE for the connection, transaction, role, deadlocks, resources, operators and the system."""
ABOUT_THE_SERVER = frozenset({"55P03", "XX001", "XX002"})
"""SQLSTATEs for a lock that could not be acquired and for damaged pages."""
ABOUT_THE_STATEMENT = frozenset({"42", "0A"})
"""Classes of SQLSTATE for what PostgreSQL cannot do, or this role may not do, with any row of the table."""


class Refusal(NamedTuple):
    """PostgreSQL's error: SQLSTATE, primary message and the names in it.

    `is_within_function`: the error arose in a function, such as a trigger's. `table`: the schema and name of the constraint's
    table, which may be a partition.
    """

    sqlstate: str | None
    message: str | None
    column: str | None = None
    constraint: str | None = None
    is_within_function: bool = False
    table: tuple[str, str] | None = None


def is_about_rows(refusal: Refusal) -> bool:
    """Return whether the error concerns single rows, so that other rows may still be updated.

    The first matching line applies:

    | the error                                                            | about rows |
    |----------------------------------------------------------------------|------------|
    | the session's or the server's (`is_passing`)                         | no         |
    | the statement: rights, names, types, what PostgreSQL does not offer  | no         |
    | the same, within the function of a trigger                           | yes        |
    | anything else: too long, out of range, a constraint, a trigger       | yes        |
    """
    if is_passing(refusal):
        return False
    return refusal.is_within_function or (refusal.sqlstate or "")[:2] not in ABOUT_THE_STATEMENT


def is_passing(refusal: Refusal) -> bool:
    """Return whether the error is unrelated to the update itself.

    Such errors come from the client (no SQLSTATE), the session (connection, transaction, deadlock, resources, shutdown), a lock
    that could not be acquired, or a damaged page.
    """
    state = refusal.sqlstate
    return state is None or state[:2] in ABOUT_THE_SESSION or state in ABOUT_THE_SERVER


def fault_of(refusal: Refusal, holder: str | None = None) -> Fault:
    """Return the fault to record for the row.

    `holder`: the document that already has a value that must be unique.

    >>> fault_of(Refusal("23514", "the row violates a check", constraint="named")).message
    'PostgreSQL refused the update of its row: the row violates a check (SQLSTATE 23514, constraint named)'
    >>> fault_of(Refusal("23505", "duplicate key value"), "d1").message
    'PostgreSQL refused the update of its row: duplicate key value (SQLSTATE 23505), which the row of document d1 has already'
    """
    names = [("SQLSTATE", refusal.sqlstate), ("column", refusal.column), ("constraint", refusal.constraint)]
    told = ", ".join(f"{what} {name}" for what, name in names if name)
    message = (refusal.message or "no reason was given")[:LONGEST_MESSAGE]
    has = f", which the row of document {holder} has already" if holder else ""
    return Fault(ROW_REFUSED, f"PostgreSQL refused the update of its row: {message} ({told}){has}")


KEPT = Fault(
    ROW_REFUSED,
    "PostgreSQL accepted the update of its row but left the row as it was: a trigger or a rule prevents the change",
)
