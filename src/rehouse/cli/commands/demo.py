"""`rehouse demo`: run a whole migration on the embedded servers, explain each step, and check the outcome.

The steps are the real commands, each in a process of its own. Some documents of the sample cannot be moved: the demo
succeeds exactly when those, and only those, stay behind.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rehouse.cli.commands.sandbox import OlderToolOption, TenantIdOption, catch_interrupts, new_sandbox
from rehouse.cli.output import say

if TYPE_CHECKING:
    from rehouse.cli.closing_screen import Outcome
    from rehouse.sandbox.sample import Sample
    from rehouse.sandbox.servers import Sandbox

KeepOption = Annotated[bool, typer.Option("--keep", help="Keep the servers running at the end, until Ctrl-C.")]
Contents = dict[str, tuple[str, Any]]
"""A bucket's objects: their ETags and when they were last modified, by key."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the demo, its purpose, and the exit status that the demo expects."""

    arguments: tuple[str, ...]
    why: str
    expected: int


STEPS = (
    Step(
        ("doctor",),
        "Can it work? rehouse checks the database, credentials, rights and the shared bucket. It changes nothing.",
        0,
    ),
    Step(
        ("plan",),
        "What would happen, and what is wrong? rehouse lists the shared bucket once. Exit status 3: some documents stay behind.",
        3,
    ),
    Step(
        ("migrate-all",),
        "Each active tenant gets a bucket. rehouse copies the documents inside S3, verifies them, and flips the rows. Exit status "
        "3: the documents that were broken on purpose stay behind.",
        3,
    ),
    Step(
        ("verify-all", "--deep"),
        "Is every object the same? --deep compares bytes, headers, metadata and tags. The same documents cause exit status 3.",
        3,
    ),
    Step(("status",), "How far is each tenant?", 0),
)


def demo(
    *, tenant_id: TenantIdOption = "integer", older_tool: OlderToolOption = False, keep: KeepOption = False
) -> None:
    """Show a whole migration on this machine, step by step. The exit status is 0 if the outcome is the expected one.

    Examples: `rehouse demo`, `rehouse demo --tenant-id uuid`, `rehouse demo --keep` (keeps the servers running at the end).
    """
    from rehouse.cli.services import finish

    begun = time.monotonic()
    with catch_interrupts() as wait, new_sandbox(tenant_id=tenant_id, older_tool=older_tool) as servers:
        before = _contents(servers)
        _introduce(servers.sample)
        surprises = [surprise for step in STEPS for surprise in _take(step, servers)]
        found = Found.of(servers)
        surprises += found.surprises(servers.sample, before)
        outcome = found.outcome(servers, time.monotonic() - begun)
        if keep:
            _close(outcome, surprises)
            file = shlex.quote(str(servers.environment_file))
            typer.echo(f"\nThe servers stay up until you press Ctrl-C. In another shell:\n\n  source {file}")
            wait()
    if not keep:  # after the messages of the servers that stop
        _close(outcome, surprises)
    finish(well=not surprises)


def _introduce(sample: Sample) -> None:
    active = [sample.expected[tenant.slug] for tenant in sample.tenants if tenant.is_active]
    documents = sum(each.documents for each in sample.expected.values())
    counts = {
        "belong to inactive tenants": documents - sum(each.documents for each in active),
        "have no file": sum(each.without_key for each in active),
        "are in a tenant's bucket already": sum(each.at_home for each in active),
        "were broken on purpose": sum(each.faults for each in active),
    }
    told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    say(
        f"A data room with {len(sample.tenants):,} tenants and {documents:,} documents in one shared bucket, "
        f"{sample.shared_bucket}, on a PostgreSQL and an S3 server of this machine. Of the documents, {told}: "
        f"{sum(each.to_move for each in active):,} can be moved. {sample.unassigned:,} more rows belong to no tenant."
    )


def _take(step: Step, servers: Sandbox) -> Iterator[str]:
    from rehouse.cli.closing_screen import RULE

    command = " ".join(("rehouse", *step.arguments))
    say("", RULE, step.why, f"$ {command}", "")
    sys.stdout.flush()
    log = {"REHOUSE_LOG_FILE": str(servers.folder / f"{step.arguments[0]}.log")}
    status = _run(step.arguments, servers, log, capture=False).returncode
    if status != step.expected:
        yield f"`{command}` ended with {status} instead of {step.expected}"


def _run(
    arguments: tuple[str, ...], servers: Sandbox, variables: dict[str, str], *, capture: bool
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rehouse", *arguments]
    environment = _environment(servers) | variables
    place = servers.folder  # the working directory may have a rehouse.toml
    return subprocess.run(command, env=environment, cwd=place, check=False, text=True, capture_output=capture)  # noqa: S603


def _report_of(servers: Sandbox, *arguments: str) -> Any:
    return json.loads(_run((*arguments, "--output", "json"), servers, {}, capture=True).stdout)["result"]


def _environment(servers: Sandbox) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REHOUSE_", "PG"))}
    return kept | servers.environment()


def _contents(servers: Sandbox) -> Contents:
    pages = servers.s3.root().get_paginator("list_objects_v2").paginate(Bucket=servers.sample.shared_bucket)
    return {each["Key"]: (each["ETag"], each["LastModified"]) for page in pages for each in page.get("Contents", ())}


@dataclass(frozen=True, slots=True)
class Found:
    """The state after the migration, from the commands and from a listing of the shared bucket."""

    tenants: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    verified: list[dict[str, Any]]
    shared: Contents

    @classmethod
    def of(cls, servers: Sandbox) -> Found:
        """Run the commands again, and list the shared bucket."""
        return cls(
            tenants=_report_of(servers, "status")["tenants"],
            errors=_report_of(servers, "status", "--errors")["outstanding"],
            verified=_report_of(servers, "verify-all", "--deep")["tenants"],
            shared=_contents(servers),
        )

    def surprises(self, sample: Sample, before: Contents) -> Iterator[str]:
        """Yield a sentence for each difference from the expected outcome."""
        migrated = {each["slug"]: each["documents_migrated"] for each in self.tenants}
        proven = {each["slug"]: each["proofs"].get("bytes", 0) for each in self.verified}
        for tenant in sample.tenants:
            stayed = {(each["document_id"], each["code"]) for each in self.errors if each["slug"] == tenant.slug}
            planted = {(each.document_id, each.reason) for each in sample.faults if each.slug == tenant.slug}
            wanted = sample.expected[tenant.slug].to_move
            if not tenant.is_active:
                planted, wanted = set(), 0
            if stayed != planted:
                yield f"{tenant.slug}: {sorted(stayed)} stayed behind instead of {sorted(planted)}"
            if migrated[tenant.slug] != wanted:
                yield f"{tenant.slug}: {migrated[tenant.slug]} documents moved instead of {wanted}"
            if proven.get(tenant.slug, 0) != wanted:
                yield f"{tenant.slug}: {proven.get(tenant.slug, 0)} documents were verified byte by byte instead of {wanted}"
        changed = sorted(key for key in before.keys() | self.shared.keys() if before.get(key) != self.shared.get(key))
        if changed:
            yield f"the shared bucket was changed: {', '.join(changed)}"

    def outcome(self, servers: Sandbox, seconds: float) -> Outcome:
        """Return the figures of the last screen."""
        from rehouse.cli.closing_screen import Outcome, StayedBehind
        from rehouse.cli.logs import count_logged_requests
        from rehouse.config import Settings
        from rehouse.core.pricing import requests_dollars

        sample = servers.sample
        inactive = sum(sample.expected[each.slug].documents for each in sample.tenants if not each.is_active)
        requests = count_logged_requests(servers.folder / "migrate-all.log")
        proofs = sum((Counter(each["proofs"]) for each in self.verified), Counter[str]())
        return Outcome(
            seconds=seconds,
            documents=sum(each["documents_migrated"] for each in self.tenants),
            documents_total=inactive + sum(each["documents_total"] or 0 for each in self.tenants),
            documents_inactive=inactive,
            documents_without_file=sum(each["documents_skipped"] or 0 for each in self.tenants),
            documents_at_home=sum(
                max(0, (each["documents_at_home"] or 0) - each["documents_migrated"]) for each in self.tenants
            ),
            tenants=sum(each["phase"] is not None for each in self.tenants),
            bytes_copied=sum(each["bytes_copied"] or 0 for each in self.tenants),
            proven=proofs["bytes"],
            shared_objects=len(self.shared),
            requests=requests,
            dollars=requests_dollars(requests, Settings().prices.price_list()),
            stayed=[
                StayedBehind(each["slug"], each["document_id"], each["code"] or each["state"], each["message"] or "")
                for each in self.errors
            ],
            inactive=[tenant.slug for tenant in sample.tenants if not tenant.is_active],
        )


def _close(outcome: Outcome, surprises: list[str]) -> None:
    from rehouse.cli.closing_screen import RULE, show_closing_screen

    if not surprises:
        show_closing_screen(outcome)
        return
    say("", RULE, "The outcome is not the expected one:", *(f"  - {each}" for each in surprises))
