"""Where `rehouse serve` listens, a loopback address or a Unix socket, and the server that runs there until it is stopped."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from rehouse.core.errors import Refused
from rehouse.web.guard import Application

BACKLOG = 128
GRACE_SECONDS = 30
"""How long requests that are under way may take when the server is stopped."""


class Server(uvicorn.Server):
    """Serves an application on a socket that listens already. The command handles the signals."""

    def __init__(self, application: Application) -> None:
        super().__init__(
            uvicorn.Config(
                application, http="h11", ws="none", loop="asyncio", lifespan="off", interface="asgi3",
                log_config=None, access_log=False, server_header=False, proxy_headers=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )  # fmt: skip

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield

    def stop(self) -> None:
        """Take no more requests, and end when those that are under way have ended."""
        self.should_exit = True


@contextmanager
def listen_on_address(host: str, port: int, *, allow_remote: bool) -> Iterator[socket.socket]:
    """Listen on a TCP port during the block; port 0: a free one.

    Raises Refused for an address that other machines reach, unless `allow_remote`, and for one that cannot be had.
    """
    subject = f"{host}:{port}"
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        if not allow_remote and not ip_address(str(place[0]).partition("%")[0]).is_loopback:
            raise Refused(
                f"{host} is not a loopback address: other machines reach it, and the token would travel unencrypted",
                hint="listen on 127.0.0.1 or on a --socket; or add --allow-remote, behind a proxy that speaks TLS",
                subject=subject,
            )
        opened = socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        raise _cannot_listen(subject, error) from None
    with opened:
        yield opened


@contextmanager
def listen_on_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on a Unix socket that owner and group may use, during the block. Raises Refused if the path is taken."""
    _remove_abandoned(path)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with opened:
        before = os.umask(0o117)
        try:
            opened.bind(str(path))
        except OSError as error:
            raise _cannot_listen(str(path), error) from None
        finally:
            os.umask(before)
        opened.listen(BACKLOG)
        try:
            yield opened
        finally:
            path.unlink(missing_ok=True)


def address_of(opened: socket.socket) -> str:
    """Return the address of a listening socket for people: a URL, or `unix:` and the path."""
    if opened.family == socket.AF_UNIX:
        return f"unix:{opened.getsockname()}"
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _remove_abandoned(path: Path) -> None:
    """Remove a socket that a killed server has left. Raises Refused for anything else at the path."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot_listen(str(path), error) from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        is_answered = is_socket and probe.connect_ex(str(path)) != errno.ECONNREFUSED
    if not is_socket or is_answered:
        what = "another server listens there" if is_socket else "a file of another kind is there"
        raise Refused(f"{path} is taken: {what}", hint="choose another path", subject=str(path))
    with suppress(FileNotFoundError):
        path.unlink()


def _cannot_listen(subject: str, error: Exception) -> Refused:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Refused(f"rehouse cannot listen on {subject}: {reason}", hint="choose another one", subject=subject)
