"""`rehouse sandbox`: the embedded servers with the sample data room, until interrupted.

It imports the servers when it starts them, because help and completion do not need them.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from rehouse.cli.commands.iam_policy import RoleName
from rehouse.cli.output import say
from rehouse.cli.process import handle_signals
from rehouse.core.errors import Interrupted
from rehouse.core.permissions.policies import policy_documents
from rehouse.core.permissions.table import Role

if TYPE_CHECKING:
    from rehouse.sandbox.servers import Sandbox

MIGRATION_ROLES: tuple[Role, ...] = ("provision", "migrate")
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

FolderOption = Annotated[Path | None, typer.Option(help="An empty or new folder; by default a temporary one.")]
TenantIdOption = Annotated[Literal["integer", "uuid"], typer.Option(help="The type of tenants.id.")]
RightsOption = Annotated[
    list[RoleName] | None,
    typer.Option("--role", help="A role of the user rehouse besides provision and migrate; can be repeated."),
]
OlderToolOption = Annotated[bool, typer.Option("--older-tool", help="Add what an older migration tool left behind.")]
EmptyOption = Annotated[
    bool, typer.Option("--empty", help="No sample data: a database without tables and an empty bucket.")
]
KeepOption = Annotated[bool, typer.Option("--keep", help="Leave the files in place at the end.")]
PortOption = Annotated[int | None, typer.Option(min=1, max=65535, help="By default a free one.")]


def sandbox(
    *,
    folder: FolderOption = None,
    tenant_id: TenantIdOption = "integer",
    older_tool: OlderToolOption = False,
    empty: EmptyOption = False,
    role: RightsOption = None,
    keep: KeepOption = False,
    postgres_port: PortOption = None,
    s3_port: PortOption = None,
) -> None:
    """Start PostgreSQL and S3 with a sample data room. Prints how to use rehouse with them; Ctrl-C stops them.

    Examples: `rehouse sandbox`, `rehouse sandbox --folder ./sandbox`, `rehouse sandbox --empty`, `rehouse sandbox --role finish`.
    """
    roles = cast("tuple[Role, ...]", tuple(each.value for each in role or ()))
    options = {"folder": folder, "empty": empty, "keep": keep, "postgres_port": postgres_port, "s3_port": s3_port}
    made = new_sandbox(*roles, tenant_id=tenant_id, older_tool=older_tool, **options)
    with catch_interrupts() as wait, made as servers:
        typer.echo(servers.exports())
        typer.echo(next_steps(servers), err=True)
        wait()


def new_sandbox(*roles: Role, **options: object) -> Sandbox:
    """Return a sandbox whose user `rehouse` has the rights of a migration and of `roles`; `options` are Sandbox's own.

    The sandbox prints on stderr what it does while it starts and stops.
    """
    from rehouse.sandbox.servers import SCOPE, Sandbox

    policies = policy_documents(tuple(dict.fromkeys(MIGRATION_ROLES + roles)), SCOPE)
    return Sandbox(policies, report=lambda line: say(line, stderr=True), **options)  # type: ignore[arg-type]


@contextlib.contextmanager
def catch_interrupts() -> Iterator[Callable[[], None]]:
    """Yield a function that waits for SIGINT, SIGTERM or SIGHUP, after which the block ends normally.

    A signal that arrives earlier ends the block at once and raises Interrupted.
    """
    waits = False

    def wait() -> None:
        nonlocal waits
        waits = True
        signal.pause()

    with handle_signals(_end, _ENDING):
        try:
            yield wait
        except KeyboardInterrupt:
            if not waits:
                raise Interrupted(
                    "interrupted: the servers are stopped", hint="run the same command again to start over"
                ) from None


def _end(_signal: int, _frame: FrameType | None) -> None:
    for each in _ENDING:  # ignore further signals while the servers stop
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


UPLOAD = (
    """-c 'import boto3, sys; boto3.Session(profile_name="administrator").client("s3").upload_file(*sys.argv[1:])'"""
)
"""What Python does in place of `aws s3 cp`: the arguments are FILE BUCKET KEY."""


def next_steps(servers: Sandbox) -> str:
    """Return what to type in another shell; an empty sandbox is filled first."""
    from rehouse.sandbox.sample import SHARED_BUCKET

    source = f"source {shlex.quote(str(servers.environment_file))}"
    fill = [
        'psql "$DATABASE_URL" -f TABLES.sql',
        f"aws --profile administrator s3 cp --recursive FOLDER s3://{SHARED_BUCKET}/"
        if shutil.which("aws")
        else f"{shlex.quote(sys.executable)} {UPLOAD} FILE {SHARED_BUCKET} KEY",
    ]
    steps = [source, *(fill if servers.is_empty else ()), "rehouse doctor", "rehouse plan", "rehouse migrate-all"]
    return "\n".join(
        ["", "PostgreSQL and S3 run until you press Ctrl-C. In another shell:", "", *(f"  {step}" for step in steps)]
    )
