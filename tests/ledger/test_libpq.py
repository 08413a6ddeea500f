"""What libpq offers works here: TLS with an authority of one's own, password files, services, its environment variables."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from rehouse.core.errors import DatabaseRefused
from rehouse.ledger.connection import address_of, connect
from rehouse.sandbox.postgres import PostgresServer


class Parts(NamedTuple):
    """The parts of a database's URL."""

    host: str
    port: str
    user: str
    password: str
    dbname: str


@pytest.fixture
def parts(empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Parts:
    """A database, with nothing of libpq's in the environment."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    told = psycopg.conninfo.conninfo_to_dict(empty_database)
    return Parts(*(str(told[name]) for name in Parts._fields))


def database_of(connection: psycopg.Connection) -> str:
    return str(connection.execute("SELECT current_database()").fetchone()[0])  # type: ignore[index]


def test_a_password_file(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://{parts.user}@{parts.host}:{parts.port}/{parts.dbname}"
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "passwords"))
    with pytest.raises(DatabaseRefused, match="a password is needed"):
        connect(url)
    (tmp_path / "passwords").write_text(f"{parts.host}:{parts.port}:*:{parts.user}:{parts.password}\n")
    (tmp_path / "passwords").chmod(0o600)
    with connect(url) as connection:
        assert database_of(connection) == parts.dbname


@pytest.mark.parametrize("url", ["service=production", "postgresql://?service=production", "postgresql://"])
def test_a_service(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    settings = "\n".join(f"{name}={value}" for name, value in parts._asdict().items())
    (tmp_path / "services").write_text(f"[production]\n{settings}\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    if "service" not in url:
        monkeypatch.setenv("PGSERVICE", "production")
    with connect(url) as connection:
        assert database_of(connection) == parts.dbname
    assert address_of(url) == "the service production"


def test_the_environment_variables(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    for name, value in parts._asdict().items():
        monkeypatch.setenv(names[name], value)
    with connect("postgresql://") as connection:
        assert database_of(connection) == parts.dbname
    assert address_of("postgresql://") == f"{parts.user}@{parts.host}:{parts.port}/{parts.dbname}"
    with pytest.raises(DatabaseRefused) as refusal:
        connect("postgresql:///nowhere")
    assert parts.password not in refusal.value.message


@pytest.fixture
def authority(postgres: PostgresServer, tmp_path: Path) -> Iterator[Path]:
    """The certificate of an authority that signed the server's: the server offers TLS as 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    with psycopg.connect(postgres.url("postgres")) as root:
        if root.execute("SHOW ssl_library").fetchone() == ("",):
            pytest.skip("this PostgreSQL is built without TLS: --postgres-bin names another")
    folder = postgres.folder / "tls"
    folder.mkdir(exist_ok=True)
    ca, key, request, certificate = (folder / f"{name}.pem" for name in ("ca", "key", "request", "certificate"))
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    extension = folder / "names.txt"
    extension.write_text("subjectAltName=IP:127.0.0.1\n")
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", folder / "ca-key.pem", "-out", ca],
        [*new, "-subj", "/CN=server", "-keyout", key, "-out", request],
        ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", folder / "ca-key.pem", "-CAcreateserial",
         "-days", "2", "-extfile", extension, "-out", certificate],
    ):  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    owner = (postgres.folder / "data").stat()
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)
    shutil.copy(ca, tmp_path / "ca.pem")
    statements = {"ssl_cert_file": certificate, "ssl_key_file": key, "ssl": "on"}
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as root:
        for name, value in statements.items():
            root.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        root.execute("SELECT pg_reload_conf()")
    try:
        yield tmp_path / "ca.pem"
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as root:
            root.execute("ALTER SYSTEM RESET ALL")
            root.execute("SELECT pg_reload_conf()")


def test_tls_with_an_authority_of_ones_own(parts: Parts, empty_database: str, authority: Path) -> None:
    with connect(f"{empty_database}?sslmode=verify-full&sslrootcert={authority}") as connection:
        assert connection.pgconn.ssl_in_use
    with pytest.raises(DatabaseRefused, match="TLS") as untrusted:
        connect(f"{empty_database}?sslmode=verify-full&sslrootcert=system")
    elsewhere = empty_database.replace(f"@{parts.host}", "@localhost")
    with pytest.raises(DatabaseRefused, match="TLS") as another_name:
        connect(f"{elsewhere}?sslmode=verify-full&sslrootcert={authority}")
    for refusal in (untrusted, another_name):
        assert "sslrootcert" in refusal.value.hint
        assert parts.password not in refusal.value.message
