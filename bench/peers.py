"""The clients of the plain copy, each as a command line for N objects and so many requests in flight."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.clients.names import BOTO3, ENGINE, RCLONE, REHOUSE, S5CMD
from bench.nginx import ETAG
from bench.stub.storage import SHARED, TARGET, shared_key

TOOLS = Path(".venv-bench/bin")

Command = Callable[[str, int, int, Path], list[str]]
"""(endpoint, objects, requests in flight, a scratch folder) → the command line."""
Settings = Callable[[int, Path], dict[str, str]]
"""(requests in flight, a scratch folder) → what the environment says to this client alone."""


def nothing(in_flight: int, folder: Path) -> dict[str, str]:
    """Return no settings."""
    return {}


class Peer(NamedTuple):
    """A client: its name, its share of the objects (slower ones get fewer), its command, and settings of its own."""

    name: str
    share: float
    command: Command
    settings: Settings = nothing
    program: str = sys.executable

    @property
    def is_here(self) -> bool:
        """Whether its program is installed."""
        return shutil.which(self.program) is not None


def _rehouse(through: str) -> Command:
    def command(endpoint: str, objects: int, in_flight: int, folder: Path) -> list[str]:
        options = ["--objects", str(objects), "--in-flight", str(in_flight), "--etag", ETAG, "--at-full-speed"]
        return [sys.executable, "-m", "bench.clients.copying", through, *options]

    return command


def _s5cmd_run(endpoint: str, objects: int, in_flight: int, folder: Path) -> list[str]:
    commands = folder / f"commands-{objects}"
    if not commands.exists():
        lines = (f"cp s3://{SHARED}/{shared_key(n)} s3://{TARGET}/{n:08x}/{n}.pdf\n" for n in range(objects))
        commands.write_text("".join(lines))
    return [*_s5cmd(endpoint, in_flight), "run", str(commands)]


def _s5cmd_wildcard(endpoint: str, objects: int, in_flight: int, folder: Path) -> list[str]:
    return [*_s5cmd(endpoint, in_flight), "cp", f"s3://{SHARED}/*", f"s3://{TARGET}/"]


def _s5cmd(endpoint: str, in_flight: int) -> list[str]:
    return [str(TOOLS / "s5cmd"), "--endpoint-url", endpoint, "--numworkers", str(in_flight), "--log", "error"]


def _rclone(endpoint: str, objects: int, in_flight: int, folder: Path) -> list[str]:
    remote = f":s3,provider=Other,env_auth,region=us-east-1,no_check_bucket,endpoint='{endpoint}':"
    options = [
        "--transfers",
        str(in_flight),
        "--checkers",
        str(in_flight),
        "--fast-list",
        "--retries",
        "1",
        "--config",
        "",
    ]
    return ["rclone", "copy", f"{remote}{SHARED}", f"{remote}{TARGET}", *options]


def _aws(endpoint: str, objects: int, in_flight: int, folder: Path) -> list[str]:
    options = ["--recursive", "--only-show-errors", "--endpoint-url", endpoint]
    return [str(TOOLS / "aws"), "s3", "cp", f"s3://{SHARED}/", f"s3://{TARGET}/", *options]


def _aws_settings(in_flight: int, folder: Path) -> dict[str, str]:
    """Its default is ten requests at once, and only a file of its own says otherwise."""
    path = folder / f"aws-{in_flight}.ini"
    path.write_text(f"[default]\ns3 =\n  max_concurrent_requests = {in_flight}\n")
    return {"AWS_CONFIG_FILE": str(path)}


def _boto3(endpoint: str, objects: int, in_flight: int, folder: Path) -> list[str]:
    return [sys.executable, "-m", "bench.clients.boto3_threads", "--objects", str(objects), "--threads", str(in_flight)]


PEERS = (
    Peer(REHOUSE, 1.0, _rehouse("bulk")),
    Peer(ENGINE, 1.0, _rehouse("engine")),
    Peer(S5CMD, 0.1, _s5cmd_run, program=str(TOOLS / "s5cmd")),
    Peer("s5cmd cp with a wildcard", 0.2, _s5cmd_wildcard, program=str(TOOLS / "s5cmd")),
    Peer(RCLONE, 0.1, _rclone, program="rclone"),
    Peer("aws s3 cp --recursive", 0.05, _aws, _aws_settings, program=str(TOOLS / "aws")),
    Peer(BOTO3, 0.05, _boto3),
)
