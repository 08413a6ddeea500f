"""The process of a server: start it under a guardian, wait until it answers, stop it.

It is never left behind. The server's output goes into a log file of mode 0600. If the server does not start, the error quotes
the end of it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from rehouse.core.errors import Refused, TryAgain

LOOPBACK = "127.0.0.1"
_READY_SECONDS = 60.0


class ServerProcess:
    """One server under a guardian.

    `name` is its name in errors, `log` the file for its output.
    """

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._guardian: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """The process id of the server; 0 if it is not running."""
        return self._pid if self._guardian else 0

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        stop_signal: signal.Signals,
        grace_seconds: float,
        account: int | None = None,
    ) -> None:
        """Start `command` with exactly `environment`, as `account` (a uid and gid; None: our own)."""
        guardian = [sys.executable, "-I", "-S", str(Path(__file__).with_name("guardian.py"))]
        options = [str(int(stop_signal)), str(grace_seconds), "-" if account is None else str(account), "--"]
        with os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as log:
            self._guardian = subprocess.Popen(  # noqa: S603 - our own command line
                [*guardian, *options, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(environment),
                cwd=self.log.parent,
                start_new_session=True,
            )
        assert self._guardian.stdout is not None
        self._pid = int(self._guardian.stdout.readline() or 0)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready()`.

        Raises TryAgain with the end of the log if the server ends or takes a minute.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if not self._is_running() or time.monotonic() > deadline:
                self._give_up()
            time.sleep(0.02)
        if not self._is_running():  # then something else answered on its port
            self._give_up()

    def stop(self) -> None:
        """Stop the server and wait until it has ended; do nothing if it is not running."""
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        assert guardian.stdin is not None
        assert guardian.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            guardian.stdin.close()
        guardian.wait()
        guardian.stdout.close()
        if guardian.returncode < 0 and self._pid:  # the guardian itself was killed, so kill the server here
            _kill(self._pid)

    def _is_running(self) -> bool:
        return self._guardian is not None and self._guardian.poll() is None

    def _give_up(self) -> NoReturn:
        self.stop()
        raise TryAgain(
            f"{self.name} did not start: {self._last_log_line()}", hint=f"its log is {self.log}", subject=self.name
        )

    def _last_log_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"


def _kill(group: int) -> None:
    """Kill a process group and wait until it no longer exists."""
    deadline = time.monotonic() + _READY_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.01)


def start_on_free_port(wanted: int | None, start: Callable[[int], None]) -> int:
    """Call `start` with the wanted port, or with free ports until it succeeds.

    Return the port. Another process may take a free port first.
    """
    for _ in range(0 if wanted else 3):
        port = free_port()
        with contextlib.suppress(TryAgain):
            start(port)
            return port
    port = wanted or free_port()
    start(port)
    return port


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def package_folder(package: str) -> Path:
    """Return the folder of an embedded server's package.

    Raises Refused if it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Refused(
            f"the package {package} is not installed",
            hint="`pip install '.[sandbox]'` in a clone of the repository",
            subject=package,
        )
    return Path(spec.origin).parent


def bare_environment() -> dict[str, str]:
    """Return the part of our environment that a server needs: no credentials, proxies or AWS settings."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
