"""The command, kept warm: a process that has imported everything forks a child for each run, so a run starts in milliseconds.

As a program it reads one JSON line a run (`arguments`, `environment`, `out`), answers with the child's pid, lets the child begin
at the next line, and answers with its exit status (negative: the signal). The child is an ordinary `rehouse` process: it reads
its environment, writes its output to a file and can be killed like any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a run ended: its exit status (negative: the signal that killed it) and all that it printed."""

    status: int
    printed: str


class Warm:
    """The warm process, from the tests' side."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._out = folder / "printed"

    def run(
        self, *arguments: str, environment: Mapping[str, str], begun: Callable[[int], object] = lambda pid: None
    ) -> Ended:
        """Run the command to its end; `begun` is told the pid before the run begins."""
        self._say({"arguments": arguments, "environment": dict(environment), "out": str(self._out)})
        begun(int(self._hear()))
        self._say("go")
        return Ended(int(self._hear()), self._out.read_text(encoding="utf-8"))

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


def _bare() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}


def _child(order: dict[str, Any], begin: int) -> None:
    os.read(begin, 1)
    out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(out, stream)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["rehouse", *order["arguments"]]
    from rehouse.cli.main import run

    try:
        run()
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
    os._exit(0)


def _serve() -> None:
    import boto3  # noqa: F401
    import psycopg  # noqa: F401

    import rehouse.cli.main
    import rehouse.operations.migrate  # noqa: F401

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
