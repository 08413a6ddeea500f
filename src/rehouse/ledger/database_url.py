"""Translate database URLs of other tools into what libpq understands. Pure functions.

Prisma, SQLAlchemy, JDBC, node-postgres, Django and Rails use the same form of URL and add their own parameters. Parameters
that configure a pool are dropped, those that say how to connect are translated, and unknown ones are refused by name. No
message repeats the URL, because it contains a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from psycopg.pq import Conninfo

from rehouse.core.errors import DatabaseRefused

_SCHEME = re.compile(r"(?:jdbc:)?([a-z][a-z0-9]*)(?:[+:][a-z0-9_]+)?:(//)?", re.IGNORECASE)
_POSTGRES = frozenset({"postgresql", "postgres", "postgis", "pgsql", "psql"})
_OTHERS = frozenset(
    {"mysql", "mariadb", "sqlite", "mssql", "sqlserver", "oracle", "mongodb", "redis", "db2", "file", "prisma"}
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")
_SEARCH_PATH = frozenset({"schema", "currentschema", "search_path"})
_MEANINGLESS = frozenset(
    (
        # Prisma
        "connection_limit pgbouncer pool_timeout socket_timeout statement_cache_size single_use_connections "
        # SQLAlchemy, asyncpg, Django
        "prepared_statement_cache_size prepared_statement_name_func async_fallback command_timeout max_overflow pool_recycle "
        "pool_pre_ping conn_max_age conn_health_checks disable_server_side_cursors "
        # node-postgres, Rails, Doctrine, pgx
        "uselibpqcompat pool pool_size pool_mode prepared_statements timeout checkout_timeout reaping_frequency variables "
        "min_messages adapter serverversion charset encoding pool_max_conns pool_min_conns pool_max_conn_lifetime "
        "pool_max_conn_idle_time pool_health_check_period default_query_exec_mode statement_cache_mode "
        # JDBC
        "preparethreshold preparedstatementcachequeries defaultrowfetchsize rewritebatchedinserts rewritebatchedinserts "
        "applicationname loginTimeout sockettimeout tcpkeepalive stringtype readonly autosave binarytransfer"
    )
    .lower()
    .split()
)
_SSL = {"true": "require", "1": "require", "require": "require", "false": "disable", "0": "disable", "disable": "disable",
        "prefer": "prefer", "allow": "allow", "verify-ca": "verify-ca", "verify-full": "verify-full", "no-verify": "require",
        "strict": "verify-full", "accept_invalid_certs": "require"}  # fmt: skip
"""The values of `ssl` and `sslaccept`, as values of libpq's `sslmode`; `no-verify` is also a value of `sslmode`."""


def libpq_url(written: str) -> str:
    """Return the connection string in a form that libpq understands.

    Raises DatabaseRefused for a database other than PostgreSQL, and for an unknown parameter.

    >>> libpq_url('"postgresql+psycopg://me@db/app?schema=sales&connection_limit=5"')
    'postgresql://me@db/app?options=-c%20search_path%3Dsales'
    """
    text = _strip_quotes(written)
    scheme = _SCHEME.match(text)
    if scheme is None or not (scheme[2] or text.lower().startswith("jdbc:")):
        return text  # `key=value` pairs, or something that libpq refuses itself
    if scheme[1].lower() not in _POSTGRES:
        raise _not_postgres_error(scheme[1].lower())
    rest = text[scheme.end() :]
    place, _, query = rest.partition("?")
    if not scheme[2]:  # jdbc:postgresql:database
        place = f"/{place.lstrip('/')}"
    parameters = "&".join(
        f"{name}={quote(value, safe='')}"
        for name, value in _translate_parameters(query, is_jdbc=text[:5].lower() == "jdbc:")
    )
    return f"postgresql://{place}" + (f"?{parameters}" if parameters else "")


def _strip_quotes(written: str) -> str:
    text = written.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _translate_parameters(query: str, *, is_jdbc: bool) -> Iterator[tuple[str, str]]:
    known = {each.keyword.decode() for each in Conninfo.get_defaults()}
    options = []
    for pair in filter(None, query.split("&")):
        written, _, value = map(unquote, pair.partition("="))
        name = written.lower()
        if name in _SEARCH_PATH:
            options += [f"-c search_path={_escape_search_path(value)}"] if value else []
        elif name == "options":
            options.append(value)
        elif name in {"ssl", "sslaccept"} or value == "no-verify":
            yield "sslmode", _sslmode(name, value, is_jdbc=is_jdbc)
        elif written in known:
            yield written, _require_value(name, value)
        elif name not in _MEANINGLESS:
            raise _unknown_parameter_error(written, query)
    if options:
        yield "options", " ".join(options)


def _sslmode(name: str, value: str, *, is_jdbc: bool) -> str:
    if is_jdbc and value in {"", "true"}:
        return "verify-full"  # pgJDBC's own meaning of ssl=true
    mode = _SSL.get(value.lower())
    if mode is None:
        raise DatabaseRefused(
            f"DATABASE_URL: {name} has a value that is not known",
            hint="write ?sslmode=require or ?sslmode=verify-full",
            subject="database_url",
        )
    return mode


def _require_value(name: str, value: str) -> str:
    if name == "sslmode" and not value:
        raise DatabaseRefused(
            "DATABASE_URL: sslmode has no value",
            hint="write ?sslmode=require or ?sslmode=verify-full, or leave it out",
            subject="database_url",
        )
    return value


def _escape_search_path(schemas: str) -> str:
    """Return the search path as one word of `options`: quoted identifiers, with spaces and backslashes escaped."""
    names = [each.strip().strip('"') for each in schemas.split(",")]
    path = ",".join(
        each if re.fullmatch(r"[a-z_][a-z0-9_$]*", each) else '"' + each.replace('"', '""') + '"' for each in names
    )
    return re.sub(r"([\\\s])", r"\\\1", path)


def _unknown_parameter_error(name: str, query: str) -> DatabaseRefused:
    """Return the error for an unknown parameter.

    A raw @ in the query suggests an unescaped ? in the password.
    """
    if "@" in query or not _NAME.fullmatch(name):
        return malformed_url_error()
    return DatabaseRefused(
        f"DATABASE_URL: PostgreSQL has no parameter {name}",
        hint=f"remove {name}: rehouse needs user, password, host, port, database, sslmode, sslrootcert, options and schema only",
        subject="database_url",
    )


def _not_postgres_error(scheme: str) -> DatabaseRefused:
    if scheme not in _OTHERS:
        return malformed_url_error()
    return DatabaseRefused(
        f"DATABASE_URL is a {scheme} address",
        hint="rehouse works on PostgreSQL: postgresql://user:password@host:5432/database",
        subject="database_url",
    )


def malformed_url_error() -> DatabaseRefused:
    """Return the error for a connection string that libpq does not understand."""
    return DatabaseRefused(
        "DATABASE_URL is not a connection string that PostgreSQL understands",
        hint="postgresql://user:password@host:5432/database, with @ : / ? # % in the password percent-encoded",
        subject="database_url",
    )
