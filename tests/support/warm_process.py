"""The command, kept warm: a process that has imported everything forks a child for each run, so a run starts in milliseconds.

As a program it reads one JSON line a run (`arguments`, `environment`, `out`, `errors`), answers with the child's pid, lets the
child begin at the next line, and answers with its exit status (negative: the signal). The child is an ordinary `rehouse` process:
it reads its environment, writes its output to files and can be killed like any other. It runs in `/`, with nobody at its input.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a run ended: its exit status (negative: the signal that killed it), and what it printed.

    `errors`: what went to standard error, if that was asked for apart.
    """

    status: int
    printed: str
    errors: str = ""


class Warm:
    """The warm process, from the tests' side."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._out, self._errors = folder / "printed", folder / "errors"
        self._running = threading.Lock()

    def run(
        self, *arguments: str, environment: Mapping[str, str], begun: Callable[[int], object] = lambda pid: None
    ) -> Ended:
        """Run the command to its end; `begun` is told the pid before the run begins."""
        return self._run(arguments, environment, self._out, begun, seconds=None)

    def run_apart(self, *arguments: str, environment: Mapping[str, str], seconds: float) -> Ended:
        """Run the command to its end, with standard error apart. After so many seconds it is killed; raises TimeoutError."""
        ended = self._run(arguments, environment, self._errors, lambda pid: None, seconds)
        return ended._replace(errors=self._errors.read_text(encoding="utf-8"))

    def _run(
        self,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        errors: Path,
        begun: Callable[[int], object],
        seconds: float | None,
    ) -> Ended:
        order = {"arguments": arguments, "environment": dict(environment), "out": str(self._out), "errors": str(errors)}
        with self._running:
            self._say(order)
            pid = int(self._hear())
            begun(pid)
            self._say("go")
            is_late = not select.select([self._process.stdout], [], [], seconds)[0]
            if is_late:
                os.kill(pid, signal.SIGKILL)
            status = int(self._hear())
            if is_late:
                raise TimeoutError(f"{arguments} took longer than {seconds} s: {self._out.read_text(encoding='utf-8')}")
            return Ended(status, self._out.read_text(encoding="utf-8"))

    def _say(self, what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the warm process ended"
        return line


@contextlib.contextmanager
def warm_command() -> Iterator[Warm]:
    """Hold a warm process."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_bare()
        )
        try:
            yield Warm(process, Path(folder))
        finally:
            process.kill()
            process.communicate()


@functools.cache
def common_warm_command() -> Warm:
    """Return the warm process of this session, which ends with it."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(warm_command())


def _bare() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}


def _child(order: dict[str, Any], begin: int) -> None:
    os.read(begin, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, order["out"]), (2, order["errors"])):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600), stream)
    os.chdir("/")
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["rehouse", *order["arguments"]]
    from rehouse.cli.main import run

    try:
        run()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
    os._exit(0)


def _import_everything() -> None:
    """Import what commands import, and let all children share boto3's service models once read."""
    import alembic.command  # noqa: F401
    import boto3.session
    import botocore.loaders
    import botocore.session
    import psycopg  # noqa: F401

    import rehouse

    for module in pkgutil.walk_packages(rehouse.__path__, "rehouse."):
        if not module.name.startswith(
            ("rehouse.__main__", "rehouse.ledger.schema.env", "rehouse.ledger.schema.versions")
        ):
            importlib.import_module(module.name)
    botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)
    session = boto3.session.Session("nobody", "nothing", region_name="us-east-1")
    for service in ("s3", "sts"):
        session.client(service)


def _serve() -> None:
    _import_everything()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while line := sys.stdin.readline():
        order = json.loads(line)
        begin, let_begin = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _child(order, begin)
        print(pid, flush=True)
        sys.stdin.readline()
        os.write(let_begin, b"!")
        os.close(begin)
        os.close(let_begin)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
