"""HTTP servers for tests: an application on uvicorn in a thread, and `rehouse serve` as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from tests.support.application_role import make_application_role

import rehouse

TOKEN = "0123456789abcdef0123456789abcdef"
SOURCE = str(Path(rehouse.__file__).parents[1])
BEARER = {"authorization": f"Bearer {TOKEN}"}


class Served:
    """The running command, and what it has printed."""

    def __init__(self, room, role: str, folder: Path, *options: str, **more: str) -> None:
        self.folder = folder
        environment = room.environment() | {"DATABASE_URL": role, "REHOUSE_SERVE_TOKEN": TOKEN}
        environment |= {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        environment["PYTHONPATH"] = SOURCE
        self.errors = (folder / "errors").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rehouse", "serve", *options],
            env={**environment, **more}, stdout=subprocess.PIPE, stderr=self.errors, text=True, cwd="/",
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("rehouse serves the storage on "), self.said()
        self.address = line.split()[-1]

    def said(self) -> str:
        return (self.folder / "errors").read_text(encoding="utf-8")

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        return self.process.wait(60)

    def client(self, tenant: str = "acme") -> httpx.Client:
        return httpx.Client(base_url=f"{self.address}/tenants/{tenant}", headers=BEARER, timeout=60)


@pytest.fixture
def serve(room, tmp_path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []
    role = make_application_role(room.url, room.settings.mapping)

    def start(*options: str, **more: str) -> Served:
        made.append(Served(room, role, tmp_path, *options, **more))
        return made[-1]

    yield start
    for each in made:
        each.process.kill()
        each.process.wait()
        each.process.stdout.close()
        each.errors.close()


@contextmanager
def serving(application: object) -> Iterator[str]:
    """Run an application with uvicorn on a free port, and yield its address."""
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="warning"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
