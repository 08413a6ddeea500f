"""The stateful stub and PostgreSQL as context managers for the benchmarks, and the environment that points rehouse at them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from bench.measuring import SERVER_CORE
from bench.stub.storage import SHARED
from rehouse.sandbox.account import private_folder
from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.process import free_port

REHOUSE = str(Path(sys.executable).with_name("rehouse"))
READY_SECONDS = 10.0


class Stub:
    """A running stateful stub."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def statistics(self) -> dict[str, Any]:
        """Return the stub's requests by kind, its CPU seconds, and the seconds of its allowance."""
        with urllib.request.urlopen(f"{self.url}/_stub", timeout=30) as answer:
            return dict(json.load(answer))

    def allow(self, rate: float | None) -> None:
        """Answer 503 above `rate` requests on objects a second, from now on; None: allow everything."""
        with urllib.request.urlopen(f"{self.url}/_stub/allow/{rate or 0:g}", timeout=30):
            pass

    def requests(self) -> dict[str, int]:
        """Return the requests so far, by kind."""
        return dict(self.statistics()["requests"])


@contextmanager
def stub(objects: int, *options: str) -> Iterator[Stub]:
    """Run the stateful stub on a core of its own, `objects` in its shared bucket."""
    port = free_port()
    command = ["taskset", "--cpu-list", str(SERVER_CORE), sys.executable, "-m", "bench.stub", "--port", str(port)]
    process = subprocess.Popen([*command, "--objects", str(objects), *options])
    try:
        running = Stub(port)
        wait_until_it_answers(f"{running.url}/_stub")
        yield running
    finally:
        process.terminate()
        process.wait()


def wait_until_it_answers(url: str) -> None:
    """Wait until a URL answers with 200; raise TimeoutError after ten seconds."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{url} does not answer")


class CountingPostgres(PostgresServer):
    """The sandbox's PostgreSQL, which also counts statements."""

    def _initialise(self, command: list[str], account: Any) -> None:
        super()._initialise(command, account)
        with (self.folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.max = 1000\n")


class DurablePostgres(CountingPostgres):
    """One whose commits wait for the disk."""

    settings: ClassVar[Mapping[str, str]] = {
        **CountingPostgres.settings,
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
    }


@contextmanager
def postgres(kind: type[CountingPostgres] = CountingPostgres) -> Iterator[CountingPostgres]:
    """Run a PostgreSQL in a temporary folder."""
    folder = private_folder(Path(tempfile.gettempdir()) / f"rehouse-bench-{secrets.token_hex(4)}")
    try:
        with kind(folder / "postgres") as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(endpoint_url: str, database_url: str | None = None, **others: str) -> dict[str, str]:
    """Return the whole environment of a client: no settings of the caller's, keys that the stubs do not check."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": "AKIABENCHBENCHBENCHB",
        "AWS_SECRET_ACCESS_KEY": "b" * 40,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": endpoint_url,
        "REHOUSE_SHARED_BUCKET": SHARED,
        "REHOUSE_CORS_ORIGINS": "https://app.example.com",
        **({"DATABASE_URL": database_url} if database_url else {}),
        **others,
    }


def rehouse(*arguments: str, binary: str = REHOUSE) -> Sequence[str]:
    """Return the command line of `rehouse`, of this tree unless another binary is named."""
    return [binary, *arguments]
