"""A program that runs one server and stops it when its parent process ends.

It uses the standard library only. `python guardian.py SIGNAL GRACE_SECONDS ACCOUNT -- COMMAND…` starts the command in its own
process group and reads standard input, a pipe whose other end only the parent holds. It stops the server at the end of the pipe
(the parent closed it or died) or when its parent process changes: first with the signal, after the grace with SIGKILL. ACCOUNT
is a uid (and gid) or `-`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys


def main(arguments: list[str]) -> int:
    """Run the command until it or the parent ends; return the command's exit status."""
    stop_signal, grace_seconds, account, _, *command = arguments
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    server = _start(command, account)
    parent = os.getppid()
    print(server.pid, flush=True)
    while server.poll() is None and os.getppid() == parent:
        # Check the parent's id as well, because a process that the parent forked may hold the pipe open.
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
