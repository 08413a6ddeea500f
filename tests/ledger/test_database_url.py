"""Database URLs of other tools mean here what they mean there."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from rehouse.core.errors import DatabaseRefused
from rehouse.ledger.connection import address_of, connect
from rehouse.ledger.database_url import libpq_url

PLAIN = {"user": "me", "password": "p@s/s", "host": "db.example", "port": "5433", "dbname": "app"}
PLACE = "me:p%40s%2Fs@db.example:5433/app"
UNDERSTOOD = {
    "libpq": (f"postgresql://{PLACE}", {}),
    "the short scheme": (f"postgres://{PLACE}", {}),
    "capitals": (f"PostgreSQL://{PLACE}", {}),
    "quotes": (f'"postgresql://{PLACE}"', {}),
    "single quotes and blanks": (f" 'postgres://{PLACE}'\n", {}),
    "SQLAlchemy": (f"postgresql+psycopg://{PLACE}", {}),
    "SQLAlchemy with asyncpg": (
        f"postgresql+asyncpg://{PLACE}?ssl=require&prepared_statement_cache_size=0", {"sslmode": "require"},
    ),
    "Prisma": (
        f"postgresql://{PLACE}?schema=sales&connection_limit=5&pgbouncer=true&pool_timeout=0&sslmode=require",
        {"options": "-c search_path=sales", "sslmode": "require"},
    ),
    "Prisma, certificates": (f"postgresql://{PLACE}?sslaccept=strict", {"sslmode": "verify-full"}),
    "a schema with capitals and a blank": (f"postgresql://{PLACE}?schema=My%20Sales", {"options": '-c search_path="My\\ Sales"'}),
    "no schema": (f"postgresql://{PLACE}?schema=", {}),
    "options besides": (
        f"postgresql://{PLACE}?options=-c%20work_mem%3D8MB&schema=sales", {"options": "-c work_mem=8MB -c search_path=sales"},
    ),
    "JDBC": (
        "jdbc:postgresql://db.example:5433/app?user=me&password=p%40s/s&currentSchema=a,B",
        {"options": '-c search_path=a,"B"'},
    ),
    "JDBC, plus signs": ("jdbc:postgresql://db.example:5433/app?user=me&password=p%40s%2Fs&ssl=true", {"sslmode": "verify-full"}),
    "node-postgres": (f"postgres://{PLACE}?ssl=true", {"sslmode": "require"}),
    "node-postgres, no-verify": (f"postgres://{PLACE}?sslmode=no-verify", {"sslmode": "require"}),
    "Django": (f"postgis://{PLACE}?conn_max_age=600", {}),
    "Rails": (f"postgres://{PLACE}?pool=5&encoding=unicode&prepared_statements=false", {}),
    "Doctrine": (f"pgsql://{PLACE}?serverVersion=15&charset=utf8", {}),
    "pgx": (f"postgres://{PLACE}?pool_max_conns=10&sslmode=verify-full", {"sslmode": "verify-full"}),
    "key=value": ("host=db.example port=5433 dbname=app user=me password='p@s/s'", {}),
    "key=value in quotes": ("\"host=db.example port=5433 dbname=app user=me password='p@s/s'\"", {}),
}  # fmt: skip


@pytest.mark.parametrize(("written", "more"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_urls_of_other_tools_are_understood(written, more):
    assert conninfo_to_dict(libpq_url(written)) == {**PLAIN, **more}
    assert address_of(written) == "me@db.example:5433/app"


@pytest.mark.parametrize(
    ("written", "socket"),
    [
        ("postgresql://me@/app?host=/var/run/postgresql", "/var/run/postgresql"),
        ("postgresql+psycopg2://me@/app?host=/cloudsql/project:region:one", "/cloudsql/project:region:one"),
        ("postgresql://me@%2Fvar%2Frun%2Fpostgresql/app", "/var/run/postgresql"),
        ("host=/var/run/postgresql user=me dbname=app", "/var/run/postgresql"),
    ],
)
def test_sockets_are_hosts(written, socket):
    assert conninfo_to_dict(libpq_url(written)) == {"user": "me", "host": socket, "dbname": "app"}


def test_a_database_of_this_machine_by_jdbc():
    assert conninfo_to_dict(libpq_url("jdbc:postgresql:app")) == {"dbname": "app"}


REFUSED = {
    "mysql+pymysql://me:not-shown@h/app": "mysql",
    "jdbc:mysql://me:not-shown@h/app": "mysql",
    "prisma+postgres://accelerate.example/?api_key=not-shown": "prisma",
    "sqlite:///not-shown.db": "sqlite",
    "https://me:not-shown@h/app": "not a connection string",
    "postgresql://me:not-shown@h/app?sslmode=": "sslmode",
    "postgresql://me:not-shown@h/app?ssl=perhaps": "ssl",
    "postgresql://me:not-shown@h/app?shard=not-shown": "shard",
    "postgresql://me:not?shown=1@h/app": "not a connection string",
    "postgresql://me:not%-shown@h/app": "not a connection string",
}


@pytest.mark.parametrize(("written", "named"), REFUSED.items(), ids=REFUSED)
def test_what_is_not_understood_is_named_and_not_repeated(written, named):
    with pytest.raises(DatabaseRefused) as refusal:
        address_of(written)
    assert named in refusal.value.message
    assert refusal.value.hint
    assert "shown" not in refusal.value.message + refusal.value.hint


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_twice_translated_is_the_same_as_once(written):
    try:
        once = libpq_url(f"postgresql+x://h/db?schema={written}")
    except DatabaseRefused:
        return
    assert libpq_url(once) == once


@pytest.mark.parametrize("schema", ["sales", "My Sales", 'a"b', "ü\\x", "UPPER", "select"])
def test_the_schema_is_the_search_path(empty_database, schema):
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(schema)))
    with connect(f"{empty_database}?schema={quote(schema, safe='')}") as connection:
        assert connection.execute("SELECT current_schema()").fetchone() == (schema,)
