"""A data room on the session's servers, and rehouse's command as a process of its own that works on it.

`run` and `json` fork it from a warm process, which takes milliseconds; `start` and `typed` start it as a user does. Its environment
is built here and nothing of the tests' own gets into it. Its IAM user has the rights that
`rehouse iam-policy --role provision --role migrate` prints, and no others.
"""

from __future__ import annotations

import itertools
import json
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg
from tests.support.envelope import envelope_of
from tests.support.warm_process import common_warm_command

from rehouse.sandbox.s3_server import S3Server

ROLES = ("--role", "provision", "--role", "migrate")
CORS_ORIGIN = "https://app.example.com"
_numbers = itertools.count(1)


@dataclass
class World:
    """A database, a shared bucket and a prefix for the homes on a running S3 server."""

    server: S3Server
    url: str
    shared: str
    prefix: str
    keys: tuple[str, str] = ("", "")
    endpoint: str | None = None
    more: dict[str, str] = field(default_factory=dict)

    @property
    def log_bucket(self) -> str:
        """The bucket of the access logs: outside the prefix of the homes."""
        return f"logs-{self.shared}"[:63]

    def environment(self) -> dict[str, str]:
        """Everything that the process is told."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "DATABASE_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.keys[0],
            "AWS_SECRET_ACCESS_KEY": self.keys[1],
            "AWS_REGION": self.server.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint or self.server.endpoint_url,
            "AWS_ENDPOINT_URL": self.endpoint or self.server.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "REHOUSE_SHARED_BUCKET": self.shared,
            "REHOUSE_BUCKET_PREFIX": self.prefix,
            "REHOUSE_LOG_BUCKET": self.log_bucket,
            "REHOUSE_CORS_ORIGINS": CORS_ORIGIN,
            **self.more,
        }

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start the command and return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", "rehouse", *arguments],
            env=self.environment() | more,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, seconds: float = 120, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, as a child of the warm process."""
        ended = common_warm_command().run_apart(*arguments, environment=self.environment() | more, seconds=seconds)
        return subprocess.CompletedProcess(arguments, ended.status, ended.printed, ended.errors)

    def typed(self, words: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command at a terminal, where somebody has typed `words`."""
        ours, theirs = pty.openpty()
        os.write(ours, words.encode())
        with os.fdopen(ours, "rb"), os.fdopen(theirs, "rb") as terminal:
            return subprocess.run(
                [sys.executable, "-m", "rehouse", *arguments],
                check=False,
                env=self.environment() | more,
                cwd="/",
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=120,
            )

    def json(self, *arguments: str, status: int = 0, **more: str) -> Any:
        """Run the command with `--output json`, hold it to an exit status, and return its result."""
        done = self.run(*arguments, "--output", "json", **more)
        assert done.returncode == status, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        told = envelope_of(done.stdout)
        assert told["exit_status"] == status, told
        return told["result"]

    def policies(self) -> dict[str, Any]:
        """What the command itself says that it needs, for provisioning and migrating."""
        done = self.run("iam-policy", *ROLES)
        assert done.returncode == 0, done.stderr
        documents: dict[str, Any] = json.loads(done.stdout)
        return documents

    def with_user(self, **more_policies: Any) -> World:
        """Give the command a fresh IAM user with its own policy documents, and `more_policies`."""
        self.keys = self.server.user(f"rehouse-{next(_numbers)}", self.policies() | more_policies)
        return self

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        """Run a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def lay_out(self, documents: int) -> None:
        """Fill the world with one tenant `a` and so many small documents, their rows without a bucket."""
        root = self.server.root()
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(
                    lambda n: root.put_object(Bucket=self.shared, Key=f"k/{n}", Body=b"%d" % n), range(documents)
                )
            )
        self.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
        self.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size, file_size) "
            "SELECT n::text, 1, 'x', 'x', 'k/' || n, 1, 0 FROM generate_series(0, %s) n",
            documents - 1,
        )
