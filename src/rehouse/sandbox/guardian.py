"""Runs one server and never outlives the process that asked for it. A program of its own, standard library only.

`python guardian.py SIGNAL GRACE_SECONDS ACCOUNT -- COMMAND…` starts the command in a process group of its own and reads
its standard input, a pipe whose other end only the parent holds. End of file (the parent closed it, or died in whatever
way) or another parent stops the server: the signal first, SIGKILL after the grace. ACCOUNT is a uid (and gid) or `-`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Run the command until it ends or the parent is gone; return the command's exit status."""
    stop_signal, grace_seconds, account, _, *command = arguments
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    server = _start(command, account)
    parent = os.getppid()
    print(server.pid, flush=True)
    while server.poll() is None and os.getppid() == parent:
        # The parent's id is looked at as well: a process that the parent forked may hold the pipe open.
        if select.select([0], [], [], 0.5)[0] and not os.read(0, 1):
            break
    return _stop(server, int(stop_signal), float(grace_seconds))


def _start(command: list[str], account: str) -> subprocess.Popen[bytes]:
    identity = {} if account == "-" else {"user": int(account), "group": int(account), "extra_groups": []}
    server: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own command line
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=_default_signals,  # noqa: PLW1509 - this program has one thread
        **identity,  # type: ignore[call-overload]
    )
    return server


def _default_signals() -> None:
    for restored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(restored, signal.SIG_DFL)


def _stop(server: subprocess.Popen[bytes], stop_signal: int, grace_seconds: float) -> int:
    if server.poll() is None:
        server.send_signal(stop_signal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(grace_seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) & 0xFF)
