"""The command `serve`: the application's storage over HTTP, for a backend that is not written in Python."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.core.errors import BadUsage, Refused
from rehouse.core.exit_status import ExitStatus

if TYPE_CHECKING:
    from rehouse.config import Settings

HostOption = Annotated[str, typer.Option(help="The address to listen on.")]
PortOption = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0: a free one.")]
SocketOption = Annotated[
    Path | None, typer.Option(help="Listen on this Unix socket, and on no address.", show_default=False)
]
RemoteOption = Annotated[
    bool, typer.Option("--allow-remote", help="Allow an address that other machines reach. The connection has no TLS.")
]
SweepOption = Annotated[bool, typer.Option("--sweep", help="Sweep every hour, as `rehouse sweep` does.")]
EXTRA = frozenset({"fastapi", "starlette", "uvicorn", "anyio"})
PORT = 8200


def serve(
    *,
    host: HostOption = "127.0.0.1",
    port: PortOption = PORT,
    socket: SocketOption = None,
    allow_remote: RemoteOption = False,
    sweep: SweepOption = False,
) -> None:
    """Serve `TenantStorage` over HTTP, for a backend in any language. Stop it with Ctrl-C or SIGTERM.

    The token that every request needs is read from REHOUSE_SERVE_TOKEN, or from the file in REHOUSE_SERVE_TOKEN_FILE.

    Examples: `rehouse serve --sweep`, `rehouse serve --port 8300`, `rehouse serve --socket /run/rehouse/http.sock`.
    """
    _require_extra()
    from rehouse.cli import process
    from rehouse.cli.output import say, say_aside
    from rehouse.cli.services import load_settings
    from rehouse.runtime.storage import TenantStorage
    from rehouse.web.listening import Server, address_of, listen_on_address, listen_on_socket
    from rehouse.web.server import make_server_application
    from rehouse.web.sweeping import sweep_hourly
    from rehouse.web.token import read_token

    settings = load_settings()
    token = read_token(settings)
    if socket is not None and (host, port, allow_remote) != ("127.0.0.1", PORT, False):
        raise BadUsage("--socket was given with an address", hint="leave out --host, --port and --allow-remote")
    with ExitStack() as stack:
        stack.enter_context(_log(settings))
        storage = stack.enter_context(TenantStorage.open(settings))
        listening = listen_on_socket(socket) if socket else listen_on_address(host, port, allow_remote=allow_remote)
        listener = stack.enter_context(listening)
        server = Server(make_server_application(storage, token))
        stack.enter_context(process.stop_on_signals(server.stop, again=lambda: os._exit(ExitStatus.INTERRUPTED)))
        if sweep:
            stack.enter_context(sweep_hourly(storage))
        else:
            say_aside("nothing sweeps here: run `rehouse sweep` every hour, or add --sweep")
        say(f"rehouse serves the storage on {address_of(listener)}")
        sys.stdout.flush()
        server.run(sockets=[listener])
        say_aside("stopped")


def _require_extra() -> None:
    """Raise Refused if the packages of the extra `http` are not installed."""
    try:
        for name in ("listening", "server"):
            import_module(f"rehouse.web.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise Refused(
            f"`rehouse serve` needs {error.name}, which is not installed",
            hint="pip install 'rehouse[http]'",
            subject=error.name,
        ) from None


def _log(settings: Settings) -> AbstractContextManager[None]:
    """Log to the file in the settings, else on stderr: there --verbose prints everything already, and --quiet nothing."""
    from rehouse.cli import output
    from rehouse.cli.logs import log_to, log_to_stderr

    if settings.log_file is not None:
        return log_to(settings.log_file)
    return nullcontext() if output.style.verbose or output.style.quiet else log_to_stderr(logging.INFO)
