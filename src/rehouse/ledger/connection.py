"""Connect to PostgreSQL: autocommit, UTC, row security off, no time limits, and no connection pooler.

Behind a transaction pooler, session locks and SET have no effect. rehouse detects a pooler by the process id in the
handshake, which is not PostgreSQL's. A pooler in session mode looks the same, so it is refused too.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from rehouse.config import Settings
from rehouse.core.errors import DatabaseRefused
from rehouse.ledger.database_url import libpq_url, malformed_url_error
from rehouse.ledger.encoding import adapt
from rehouse.ledger.faults import connection_error, is_without_place, translate_error
from rehouse.ledger.password import ask_password
from rehouse.ledger.spare_connections import close_spare

__all__ = ["address_of", "connect", "connect_with", "refuse_pooler", "translate_error"]

_SESSION = """
SET timezone = 'UTC'; SET row_security = off; SET statement_timeout = 0; SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0; SET default_transaction_isolation = 'read committed';
SET standard_conforming_strings = on; SET default_transaction_isolation = 'read committed';
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
"""
"""With synchronous_commit, a commit is on disk before rehouse sends a request to S3 that depends on it."""
APART_SECONDS = 0.1
LONGEST_EXIT_SECONDS = 3.0
"""The pause before connecting again: PostgreSQL counts a closed session until its process has ended."""
LIVELINESS = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


def connect_with(
    settings: Settings, *, application_name: str = "rehouse", is_spare: bool = False
) -> psycopg.Connection:
    """Return a connection to the database in the settings. Raises as `connect` does."""
    return connect(
        settings.require_database_url(),
        password_command=settings.database_password_command,
        application_name=application_name,
        is_spare=is_spare,
    )


def connect(
    url: str, *, password_command: str | None = None, application_name: str = "rehouse", is_spare: bool = False
) -> psycopg.Connection:
    """Return an autocommit connection with tuple rows, ready for the ledger.

    `password_command` prints the password. It runs for every connection, because a password may expire during a run. Where
    PostgreSQL admits no further connection, the spare ones of this process give their places, unless this one `is_spare`. Raises
    DatabaseRefused, or TryAgain while the server starts or has no free connection. No message contains the password.
    """
    place, url = address_of(url), libpq_url(url)
    options = {**LIVELINESS, "application_name": application_name, "client_encoding": "UTF8"}
    if password_command is not None:
        options["password"] = ask_password(password_command)
    try:
        connection = _open(url, options, is_spare=is_spare)
    except psycopg.Error as error:
        raise connection_error(error, place) from None
    try:
        refuse_pooler(connection)
        _prepare(connection)
        adapt(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(url: str, options: dict[str, Any], *, is_spare: bool) -> psycopg.Connection:
    try:
        return psycopg.connect(url, autocommit=True, **options)
    except psycopg.Error as error:
        if is_spare or not is_without_place(error):
            raise
    # Once more in any case: a spare connection that was refused at the same moment may have had the place.
    until = time.monotonic() + (LONGEST_EXIT_SECONDS if close_spare() else 0.0)
    while True:
        try:
            return psycopg.connect(url, autocommit=True, **options)
        except psycopg.Error as error:
            if not is_without_place(error) or time.monotonic() > until:
                raise
        time.sleep(APART_SECONDS)


def refuse_pooler(connection: psycopg.Connection) -> None:
    """Raise DatabaseRefused if the connection goes through a connection pooler."""
    try:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
    except psycopg.Error as error:
        raise translate_error(error) from None
    if row is None or row[0] != connection.info.backend_pid:
        info = connection.info
        raise DatabaseRefused(
            f"a connection pooler answers at {info.host}:{info.port}",
            hint="connect to PostgreSQL's own port (as a rule 5432) instead: a lock does not work through a pooler",
        )


def address_of(url: str) -> str:
    """Return `user@host:port/database` of a connection string, never its password.

    Missing parts come from where libpq takes them: PGHOST and so on, or a service of PGSERVICEFILE, of which only the name is
    returned. Raises DatabaseRefused for a string that libpq would misread, such as one with an unescaped @ in the password.
    """
    url = libpq_url(url)
    try:
        given = {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except (psycopg.Error, ValueError):
        raise malformed_url_error() from None
    parts = {**_defaults(), **given}
    host, port, database = parts.get("host", "localhost"), parts.get("port", "5432"), parts.get("dbname", "")
    if "@" in host + database or not port.replace(",", "").isdigit() or _is_password_cut(url, given.get("password")):
        raise malformed_url_error()
    if parts.get("service") and "host" not in given:
        return f"the service {parts['service']}"
    return f"{parts.get('user', '')}@{host}:{port}/{database}".lstrip("@")


def _defaults() -> dict[str, str]:
    """Return what libpq takes from its environment variables, without the password."""
    found = {each.keyword.decode(): each.val.decode() for each in Conninfo.get_defaults() if each.val}
    return {name: found[name] for name in ("host", "port", "user", "dbname", "service") if name in found}


def _is_password_cut(url: str, password: str | None) -> bool:
    """Return whether libpq reads another password than was written, because it contains an unescaped `/` or `?`."""
    credentials, at, _ = url.partition("://")[2].rpartition("@")
    _, colon, written = credentials.partition(":")
    return bool(at and colon and "?" not in credentials and unquote(written) != (password or ""))


def _prepare(connection: psycopg.Connection) -> None:
    statement = _SESSION
    if connection.info.server_version >= 140000:
        statement += "SET idle_session_timeout = 0;"
    if connection.info.server_version >= 170000:
        statement += "SET transaction_timeout = 0;"
    try:
        connection.execute(statement)
    except psycopg.Error as error:
        raise translate_error(error) from None
