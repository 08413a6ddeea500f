"""A real PgBouncer in front of a database, in any mode, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from rehouse.sandbox.process import free_port


@contextmanager
def running_pooler(folder: Path, url: str, mode: str, **more: object) -> Iterator[str]:
    """Run PgBouncer before the database of `url`, as the user there, and return its own url. Skips where it is not installed."""
    binary = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed here")
    port = free_port()
    room = folder / f"pooler-{port}"
    room.mkdir()
    settings = room / "pgbouncer.ini"
    parts = psycopg.conninfo.conninfo_to_dict(url)
    where = " ".join(f"{name}={parts[name]}" for name in ("host", "port", "dbname", "user", "password"))
    lines = [f"[databases]\npooled = {where}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}"]
    lines += ["auth_type = any", f"pool_mode = {mode}", *(f"{name} = {value}" for name, value in more.items())]
    settings.write_text("\n".join(lines) + "\n")
    is_root = os.geteuid() == 0
    if is_root:
        for path in (room, settings):
            os.chown(path, 65534, 65534)
    account = {"user": 65534, "group": 65534, "extra_groups": []} if is_root else {}
    server = subprocess.Popen(
        [binary, "-q", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **account
    )
    pooled = f"postgresql://{parts['user']}@127.0.0.1:{port}/pooled"
    try:
        _wait_for(pooled)
        yield pooled
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(url: str) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
