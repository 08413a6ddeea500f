"""Translate PostgreSQL's errors into errors of rehouse, by one table from SQLSTATE to what the reader does next.

libpq's message about a failed connection is never shown, because it may contain parts of the password. Of the server's error
about a statement only the primary message is shown, because the detail may contain rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from rehouse.core.errors import DatabaseRefused, Halt, RehouseError, TryAgain

_RIGHTS = "grant the missing right, or connect as the tables' owner; `rehouse doctor` lists what is needed"
_AGAIN = "run the same command again: it continues where this one stopped"
_SCHEMA = "compare the mapping (`rehouse config`) with the database, then run `rehouse init`"
_SPACE = "free space on the database server, then run the same command again"

_FAULTS: dict[str, tuple[type[RehouseError], str, str]] = {
    "42501": (DatabaseRefused, "this role lacks a right", _RIGHTS),
    "42P01": (DatabaseRefused, "a table is missing", _SCHEMA),
    "42703": (DatabaseRefused, "a column is missing", _SCHEMA),
    "42883": (DatabaseRefused, "a function is missing", _SCHEMA),
    "3F000": (DatabaseRefused, "a schema is missing", _SCHEMA),
    "25006": (
        DatabaseRefused,
        "the connection is read-only",
        "connect to the primary server, as a role that may write",
    ),
    "54000": (DatabaseRefused, "a value is too long for an index", "shorten the value that the message names"),
    "53100": (Halt, "the database's disk is full", _SPACE),
    "53200": (TryAgain, "the database is out of memory", _AGAIN),
    "53300": (TryAgain, "the database has no free connection", "close some sessions or raise max_connections"),
    "55P03": (TryAgain, "another transaction held a lock too long", _AGAIN),
    "57014": (TryAgain, "the statement was cancelled", _AGAIN),
    "40001": (TryAgain, "another transaction changed the same rows", _AGAIN),
    "40P01": (TryAgain, "a deadlock was broken", _AGAIN),
}
_CLASSES: dict[str, tuple[type[RehouseError], str, str]] = {
    "08": (TryAgain, "the connection to the database broke", _AGAIN),
    "57": (TryAgain, "the database ended the session", _AGAIN),
    "53": (Halt, "the database has run out of a resource", _SPACE),
    "58": (Halt, "the database server has a system error", "check the server's log before you continue"),
    "XX": (Halt, "the database reports an internal error", "check the server's log before you continue"),
}


def translate_error(error: psycopg.Error) -> RehouseError:
    """Return the error of rehouse for `error`.

    The caller raises it `from error` or `from None`.
    """
    if error.diag.source_function == "check_enable_rls":
        return row_security_error(error.diag.message_primary or "row security")
    if error.sqlstate is None:
        return _error_without_state(error)
    kind, what, hint = _FAULTS.get(error.sqlstate) or _CLASSES.get(
        error.sqlstate[:2],
        (Halt, "the database refused a statement", f"SQLSTATE {error.sqlstate}: check the server's log"),
    )
    return kind(f"{what}: {error.diag.message_primary or error.sqlstate}", hint=hint)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate PostgreSQL's errors in the block into errors of rehouse."""
    try:
        yield
    except psycopg.Error as error:
        raise translate_error(error) from error


def row_security_error(what: str) -> DatabaseRefused:
    """Return the error for a role from which row security hides rows, so that documents would seem to be missing."""
    return DatabaseRefused(
        f"row security hides rows from this role: {what}",
        hint="ALTER ROLE … BYPASSRLS, or connect as the tables' owner: a migration must see every row",
    )


def connection_error(error: psycopg.Error, where: str) -> RehouseError:
    """Return the error for a failed connection to `where`, which must not contain the password."""
    text = str(error)
    for phrase, kind, what, hint in _CONNECTIONS:
        if phrase in text:
            return kind(f"{where}: {what}", hint=hint)
    return DatabaseRefused(
        f"{where}: the database cannot be reached",
        hint='check that PostgreSQL runs there and that the address is right; `psql "$DATABASE_URL"` shows more',
    )


def is_without_place(error: psycopg.Error) -> bool:
    """Return whether a connection failed because the server, the role or the database allows no further connection."""
    return any(phrase in str(error) for phrase in _NO_PLACE)


def _error_without_state(error: psycopg.Error) -> RehouseError:
    if isinstance(error, psycopg.OperationalError):
        return TryAgain("the connection to the database broke", hint=_AGAIN, subject="database")
    return Halt(
        f"the database driver refused a statement ({type(error).__name__})",
        hint="this is a bug in rehouse",
        subject="database",
    )


_POOLER = "connect to PostgreSQL's own port (as a rule 5432), not to the pooler's: locks need a session of their own"
_WRONG_ONE = "check the user and password of DATABASE_URL, or what REHOUSE_DATABASE_PASSWORD_COMMAND prints"
_GIVE_ONE = "put it into DATABASE_URL or ~/.pgpass, or let REHOUSE_DATABASE_PASSWORD_COMMAND print it"
_NO_PLACE = ("too many", "remaining connection slots")
_MORE_PLACES = "close some sessions, or raise max_connections, or the CONNECTION LIMIT of the role or the database"
_CONNECTIONS: tuple[tuple[str, type[RehouseError], str, str], ...] = (
    *((phrase, TryAgain, "the database has no free connection", _MORE_PLACES) for phrase in _NO_PLACE),
    ("unsupported startup parameter", DatabaseRefused, "a connection pooler answers there", _POOLER),
    ("no password supplied", DatabaseRefused, "a password is needed", _GIVE_ONE),
    (
        "password authentication failed",
        DatabaseRefused,
        "wrong user or password",
        _WRONG_ONE,
    ),
    (
        "SASL authentication failed",
        DatabaseRefused,
        "wrong user or password",
        _WRONG_ONE,
    ),
    ("PAM authentication failed", DatabaseRefused, "wrong user or password", _WRONG_ONE),
    ("no such user", DatabaseRefused, "wrong user or password", _WRONG_ONE),
    (
        "pg_hba.conf",
        DatabaseRefused,
        "the server refuses this kind of connection (pg_hba.conf)",
        "try ?sslmode=require, or ask its DBA",
    ),
    ("certificate", DatabaseRefused, "TLS cannot be agreed on", "check sslmode and sslrootcert of DATABASE_URL"),
    ("SSL", DatabaseRefused, "TLS cannot be agreed on", "check sslmode and sslrootcert of DATABASE_URL"),
    (
        "no such database",
        DatabaseRefused,
        "there is no such database",
        "check the database's name at the end of DATABASE_URL",
    ),
    (
        'database "',
        DatabaseRefused,
        "the database does not exist or cannot be entered",
        "check its name at the end of DATABASE_URL",
    ),
    ('role "', DatabaseRefused, "the role does not exist or may not log in", "check the user of DATABASE_URL"),
    ("translate host name", DatabaseRefused, "the host is unknown", "check the host of DATABASE_URL"),
    ("resolve host", DatabaseRefused, "the host is unknown", "check the host of DATABASE_URL"),
    (
        "Connection refused",
        DatabaseRefused,
        "nothing answers at this address",
        "check that PostgreSQL is running and that the port is right",
    ),
    ("timeout", DatabaseRefused, "no answer within 10 seconds", "check whether a firewall is in between"),
    ("starting up", TryAgain, "the database is starting up", "wait a moment, then run the same command again"),
    ("shutting down", TryAgain, "the database is shutting down", "start it, then run the same command again"),
)
