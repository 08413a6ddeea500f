"""Every way in which PostgreSQL cannot be used has a message and a hint, and none of them tells the password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.pooler import running_pooler

from rehouse.config.sections import TableMapping
from rehouse.core.errors import DatabaseRefused, Halt, RehouseError, TryAgain
from rehouse.ledger import catalog
from rehouse.ledger.connection import address_of, connect, translate_error
from rehouse.sandbox.postgres import PostgresServer

SECRET = "s3cr3t-word"


def test_a_session_is_prepared(empty_database: str) -> None:
    with connect(empty_database, application_name="rehouse test") as connection:
        shown = {
            name: connection.execute("SELECT current_setting(%s, true)", [name]).fetchone()[0]  # type: ignore[index]
            for name in ("row_security", "timezone", "statement_timeout", "application_name", "idle_session_timeout")
        }
        assert connection.autocommit
        idle = "0" if connection.info.server_version >= 140000 else None
    assert shown == {
        "row_security": "off",
        "timezone": "UTC",
        "statement_timeout": "0",
        "application_name": "rehouse test",
        "idle_session_timeout": idle,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda url: url.replace("postgres:", f"postgres:{SECRET}"), "wrong user or password"),
        (lambda url: url.replace("//postgres:", f"//nobody:{SECRET}"), "wrong user or password"),
        (lambda url: url + SECRET, "does not exist"),
        (lambda url: url.replace("127.0.0.1", "no-such-host.invalid"), "host is unknown"),
        (
            lambda url: url.replace("127.0.0.1:", "127.0.0.1:1"),
            "nothing answers|not a connection string|cannot be reached",
        ),
        (lambda _: f"postgresql://u:{SECRET}@127.0.0.1:1/x", "nothing answers"),
        (lambda url: url + "?sslmode=require", "TLS"),
        (lambda _: f"postgresql://u:{SECRET}@{SECRET}@h/db", "not a connection string"),
        (lambda _: f"postgresql://u:{SECRET}/{SECRET}@h/db", "not a connection string"),
        (lambda _: f"postgresql+asyncpg://u:{SECRET}@127.0.0.1:1/db?ssl=require", "nothing answers"),
        (lambda _: f"mysql://u:{SECRET}@h/db", "a mysql address"),
        (lambda _: f"postgresql://u:{SECRET}@h/db?sslmode", "sslmode has no value"),
        (lambda _: f"postgresql://u:{SECRET}@h/db?ssl={SECRET}", "ssl has a value"),
        (lambda _: f"postgresql://u:{SECRET}@h/db?replicas=3", "no parameter replicas"),
        (lambda _: f"password={SECRET} nonsense", "not a connection string"),
    ],
)
def test_a_refused_connection_says_why(empty_database: str, change, message: str) -> None:
    url = change(empty_database)
    with pytest.raises(DatabaseRefused, match=message) as refused:
        connect(url)
    assert refused.value.hint
    secrets = {SECRET, psycopg.conninfo.conninfo_to_dict(empty_database)["password"]} - {url.rpartition("/")[2]}
    told = refused.value.message + refused.value.hint
    assert not any(str(secret) in told for secret in secrets if not url.endswith(str(secret)))
    assert refused.value.__cause__ is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_quoted_password_is_never_shown(password: str) -> None:
    marked = f"{SECRET}{password}"
    assert address_of(f"postgresql://user:{quote(marked, safe='')}@host:5433/database") == "user@host:5433/database"


@given(st.text(st.sampled_from("ab@:/?#%& ="), min_size=1, max_size=12))
def test_an_unquoted_password_is_never_shown(password: str) -> None:
    """Either libpq understands it as it was meant, or it is refused; no piece of it turns up in another part."""
    try:
        shown = address_of(f"postgresql://user:X{password}X@host:5433/database")
    except DatabaseRefused as refused:
        assert "X" not in refused.message + refused.hint
    else:
        assert "X" not in shown


@pytest.fixture
def pooler(empty_database: str, servers_folder: Path, request) -> Iterator[str]:
    with running_pooler(servers_folder, empty_database, request.param) as url:
        yield url


@pytest.mark.parametrize("pooler", ["transaction", "session"], indirect=True)
def test_a_pooler_is_refused(pooler: str) -> None:
    with pytest.raises(DatabaseRefused, match="pooler answers") as refused:
        connect(pooler)
    assert "own port" in refused.value.hint
    with pytest.raises(DatabaseRefused, match="pooler answers"):
        connect(pooler + "?options=-c%20statement_timeout%3D5")


def test_a_role_that_row_security_blinds_is_refused(application_database: str, postgres: PostgresServer) -> None:
    database = application_database.rpartition("/")[2]
    name = f"blind_{database}"
    postgres.role(name)
    with connect(application_database) as owner:
        owner.execute("ALTER TABLE documents ENABLE ROW LEVEL SECURITY")
        owner.execute("CREATE POLICY own ON documents USING (tenant_id = 1)")
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}".encode())
        with connect(postgres.url(database, name)) as blind:
            with pytest.raises(DatabaseRefused, match="row security") as refused:
                catalog.read(blind, TableMapping())
            assert "BYPASSRLS" in refused.value.hint
            with pytest.raises(psycopg.Error) as raised:
                blind.execute("SELECT count(*) FROM documents")
            assert "BYPASSRLS" in translate_error(raised.value).hint
        owner.execute(f"ALTER ROLE {name} BYPASSRLS".encode())
        with connect(postgres.url(database, name)) as seeing:
            catalog.read(seeing, TableMapping())


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("SELECT * FROM nowhere", DatabaseRefused),
        ("SELECT nothing FROM pg_class", DatabaseRefused),
        ("SET transaction_read_only = on; CREATE TABLE t (i int)", DatabaseRefused),
        ("SELECT pg_terminate_backend(pg_backend_pid())", TryAgain),
        ("SET statement_timeout = 1; SELECT pg_sleep(1)", TryAgain),
        ("DO $$ BEGIN RAISE 'x' USING ERRCODE = '53100'; END $$", Halt),
        ("DO $$ BEGIN RAISE 'x' USING ERRCODE = '55P03'; END $$", TryAgain),
        ("DO $$ BEGIN RAISE 'x' USING ERRCODE = '40P01'; END $$", TryAgain),
        ("DO $$ BEGIN RAISE 'x' USING ERRCODE = 'XX001'; END $$", Halt),
        ("SELECT 1/0", Halt),
    ],
)
def test_an_error_says_what_to_do_next(empty_database: str, statement: str, kind: type[RehouseError]) -> None:
    with connect(empty_database) as connection, pytest.raises(psycopg.Error) as raised:
        connection.execute(statement.encode())
    error = translate_error(raised.value)
    assert type(error) is kind
    assert error.hint


def test_a_connection_that_was_lost_is_no_fault_of_ours(empty_database: str) -> None:
    with connect(empty_database) as connection:
        connection.close()
        with pytest.raises(psycopg.Error) as raised:
            connection.execute("SELECT 1")
    assert isinstance(translate_error(raised.value), TryAgain)
