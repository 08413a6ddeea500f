"""`rehouse sandbox` as a process of its own, and what is left of it afterwards."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

COMMAND = ("-m", "rehouse", "sandbox")


class RunningSandbox:
    """The command, started in a temporary folder of its own and read until it says what to do next."""

    def __init__(self, *options: str, python: str = sys.executable, user: int | None = None) -> None:
        identity = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read as long as it runs
        self.process = subprocess.Popen(
            [python, *COMMAND, *options],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            **identity,
        )
        assert self.process.stdout is not None
        self.lines: list[str] = []
        while (line := self.process.stdout.readline()) and "REHOUSE_APPLICATION_PROFILE" not in line:
            self.lines.append(line)
        assert line, f"it did not start: {self.said()}"
        self.lines.append(line)
        while "migrate-all" not in self.said():
            time.sleep(0.01)

    def said(self) -> str:
        """What it has written to its standard error until now."""
        self.errors.seek(0)
        return self.errors.read()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that it exports."""
        exports = (shlex.split(line)[1] for line in self.lines if line.startswith("export "))
        return dict(line.split("=", 1) for line in exports)

    @property
    def folder(self) -> Path:
        """The folder that it keeps its files in."""
        return Path(self.environment["AWS_SHARED_CREDENTIALS_FILE"]).parent

    @property
    def ports(self) -> list[int]:
        """The ports of both servers."""
        urls = (self.environment["DATABASE_URL"], self.environment["AWS_ENDPOINT_URL_S3"])
        return [port for url in urls if (port := urlsplit(url).port)]

    def wait_for_silence(self) -> None:
        """Wait until neither server listens and none of their processes is left."""
        deadline = time.monotonic() + 120
        while any(map(listens, self.ports)) or processes_of(self.ports):
            assert time.monotonic() < deadline, processes_of(self.ports)
            time.sleep(0.05)


def listens(port: int) -> bool:
    """Return whether something accepts connections on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes_of(ports: list[int]) -> list[str]:
    """Return the guardians and PostgreSQL servers, told by the port on their command lines."""
    listed = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if re.search(rf"-p ({'|'.join(map(str, ports))}) ", line)]
