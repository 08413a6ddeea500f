"""`rehouse demo`: a whole migration on the embedded servers, told step by step, and judged at the end.

The steps are the real commands, each in a process of its own. Some documents of the sample cannot be moved: the demo
succeeds exactly when those, and only those, stay behind.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.commands.sandbox import OlderToolOption, TenantIdOption, new_sandbox, until_interrupted
from rehouse.core.copies import HINTS, Reason

if TYPE_CHECKING:
    from rehouse.sandbox.sample import Sample
    from rehouse.sandbox.servers import Sandbox

KeepOption = Annotated[bool, typer.Option("--keep", help="Leave the servers up at the end, until Ctrl-C.")]
RULE = "─" * 78


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the demo, what it is for, and the exit status that it has to end with here."""

    arguments: tuple[str, ...]
    why: str
    expected: int


STEPS = (
    Step(
        ("doctor",),
        "Can it work? Database, credentials, rights and the shared bucket are looked at; nothing changes.",
        0,
    ),
    Step(
        ("plan",),
        "What would happen, and what is wrong? The shared bucket is listed once. Exit status 3: some documents cannot be moved.",
        3,
    ),
    Step(
        ("migrate-all",),
        "Every active tenant gets a bucket; documents are copied inside S3, verified, then the rows are flipped. Exit status 3: "
        "the planted faults stay behind, and a run that left something behind never says otherwise.",
        3,
    ),
    Step(
        ("verify-all", "--deep"),
        "Is every object the same? Here by reading both sides: bytes, headers, metadata, tags. Exit status 3 for the same faults.",
        3,
    ),
    Step(("status",), "How far is everyone?", 0),
)


def demo(
    *, tenant_id: TenantIdOption = "integer", older_tool: OlderToolOption = False, keep: KeepOption = False
) -> None:
    """Show a whole migration on this machine, step by step. Exit status 0 exactly when it ended as it must.

    Examples: `rehouse demo`, `rehouse demo --tenant-id uuid`, `rehouse demo --keep` (leaves the servers up at the end).
    """
    from rehouse.cli.services import finish

    with until_interrupted() as wait, new_sandbox(tenant_id=tenant_id, older_tool=older_tool) as servers:
        _introduce(servers.sample)
        surprises = [surprise for step in STEPS for surprise in _take(step, servers)]
        surprises += _judged(servers)
        _summarise(servers.sample, surprises)
        if keep:
            file = shlex.quote(str(servers.environment_file))
            typer.echo(f"\nThe servers stay up until you press Ctrl-C. In another shell:\n\n  source {file}")
            wait()
    finish(well=not surprises)


def _introduce(sample: Sample) -> None:
    typer.echo(f"A data room with {len(sample.tenants)} tenants and {len(sample.rows)} documents in one shared bucket,")
    typer.echo(f"{sample.shared_bucket}, on a PostgreSQL and an S3 server of this machine.")
    typer.echo(f"{len(sample.faults)} documents were broken on purpose.")


def _take(step: Step, servers: Sandbox) -> Iterator[str]:
    command = " ".join(("rehouse", *step.arguments))
    typer.echo(f"\n{RULE}\n{step.why}\n$ {command}\n")
    status = _run(step.arguments, servers, capture=False).returncode
    if status != step.expected:
        yield f"`{command}` ended with {status} instead of {step.expected}"


def _run(arguments: tuple[str, ...], servers: Sandbox, *, capture: bool) -> subprocess.CompletedProcess[str]:
    sys.stdout.flush()
    command = [sys.executable, "-m", "rehouse", *arguments]
    return subprocess.run(command, env=_environment(servers), check=False, text=True, capture_output=capture)  # noqa: S603


def _environment(servers: Sandbox) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REHOUSE_", "PG"))}
    return kept | servers.environment()


def _judged(servers: Sandbox) -> Iterator[str]:
    """Compare where every tenant stands with what was planted."""
    for tenant in servers.sample.tenants:
        found = json.loads(_run(("status", tenant.slug, "--output", "json"), servers, capture=True).stdout)
        stayed = {(each["document_id"], each["code"]) for each in found["outstanding"]}
        planted = {(each.document_id, each.reason) for each in servers.sample.faults if each.slug == tenant.slug}
        wanted = servers.sample.expected[tenant.slug].to_move
        if not tenant.is_active:
            planted, wanted = set(), 0
        if stayed != planted:
            yield f"{tenant.slug}: {sorted(stayed)} stayed behind instead of {sorted(planted)}"
        if found["overview"]["documents_migrated"] != wanted:
            yield f"{tenant.slug}: {found['overview']['documents_migrated']} documents moved instead of {wanted}"


def _summarise(sample: Sample, surprises: list[str]) -> None:
    moved = sum(sample.expected[tenant.slug].to_move for tenant in sample.tenants if tenant.is_active)
    typer.echo(f"\n{RULE}")
    if surprises:
        typer.echo("The outcome is not the expected one:\n" + "\n".join(f"  - {each}" for each in surprises))
        return
    typer.echo(
        f"As expected: {moved} documents are in buckets of their own, every byte, header and tag the same, and the"
    )
    typer.echo(
        f"shared bucket is untouched. {len(sample.faults)} stayed behind, which is why migrate-all ended with 3, not 0:"
    )
    for fault in sample.faults:
        typer.echo(
            f"  - {fault.slug}: {fault.document_id}: {fault.reason.replace('_', ' ')}: {HINTS[Reason(fault.reason)]}"
        )
    typer.echo("Inactive tenants were left alone (--include-inactive moves them too).")
