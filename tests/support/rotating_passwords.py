"""A role whose password never works twice, as the tokens of RDS IAM expire."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import psycopg

from rehouse.sandbox.postgres import PostgresServer


def python(program: str) -> str:
    return shlex.join([sys.executable, "-c", program])


class Rotating:
    """A role whose password is another one each time that it is asked for: the one before has expired."""

    def __init__(self, postgres: PostgresServer, database: str, folder: Path) -> None:
        name = database.rpartition("/")[2]
        self.role, self._calls = f"rotating_{name}", folder / "calls"
        postgres.role(self.role, "SUPERUSER")
        parts = psycopg.conninfo.conninfo_to_dict(database)
        self.url = f"postgresql://{self.role}@{parts['host']}:{parts['port']}/{name}"
        self.command = python(f"""
import psycopg, secrets
password = secrets.token_hex(8)
with psycopg.connect({database!r}) as connection:
    connection.execute(f"ALTER ROLE {self.role} PASSWORD '{{password}}'")
open({str(self._calls)!r}, "a").write(password + "\\n")
print(password)
""")

    @property
    def printed(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []
