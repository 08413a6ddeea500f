"""The command `plan`, which is also what `--dry-run` of `migrate` shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.options import AllowQuarantinedOption, OptionalSlug, OutputOption, ProgressOption
from rehouse.cli.output import SHOWN, print_report, say, say_more, say_next, table
from rehouse.cli.progress import Kind, human_bytes
from rehouse.core.copies import Standing
from rehouse.core.durations import spelled
from rehouse.core.escaping import counted
from rehouse.core.next_steps import after_plan
from rehouse.core.pricing import REQUEST_METRICS
from rehouse.core.removals import SUSPENDED

if TYPE_CHECKING:
    from rehouse.operations.plan import Plan, Quarantined


OrphansOption = Annotated[bool, typer.Option("--orphans", help="List the objects that no row points to.")]


def plan(
    slug: OptionalSlug = None,
    *,
    orphans: OrphansOption = False,
    allow_quarantined: AllowQuarantinedOption = False,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Show what would move, what it costs, and what is wrong. Changes nothing; works before `init`.

    Examples: `rehouse plan`, `rehouse plan acme`, `rehouse plan --orphans --output json`.
    """
    only = None if slug is None else [slug]
    show_plan_of(
        True, only, None, orphans=orphans, output=output, allow_quarantined=allow_quarantined, progress=progress
    )


def show_plan_of(
    include_inactive: bool,
    only: list[str] | None,
    exclude: list[str] | None,
    *,
    orphans: bool,
    output: str,
    allow_quarantined: bool,
    progress: Kind | None,
) -> None:
    """Show the plan of a selection of tenants."""
    from rehouse.cli.services import finish_by, services
    from rehouse.operations import plan as planning
    from rehouse.operations.selection import chosen

    with services(writes=False, progress=progress) as opened:
        tenants = chosen(opened, include_inactive=include_inactive, only=only or (), exclude=exclude or ())
        made = planning.plan(opened, tenants, orphans=orphans)

    def show() -> None:
        show_plan(made)
        to_copy = {each.slug: each.to_copy for each in made.tenants if each.is_active}
        say_next(after_plan(to_copy, is_everybody=len(made.tenants) > 1))

    print_report(output, made, show)
    finish_by([made], allow_quarantined=allow_quarantined)


def show_plan(plan: Plan) -> None:
    """Print the plan: a line for each tenant, what would stay, and the cost."""
    table(
        ("tenant", "documents", "to copy", "bytes", "stays", "no key", "at home", "waiting", "accepted", "copied", "seconds",
         "bucket"),
        (
            (
                each.slug if each.is_active else f"{each.slug} (inactive)", each.documents, each.to_copy,
                human_bytes(each.to_copy_bytes), len(each.quarantined), each.standings[Standing.NO_KEY],
                each.standings[Standing.AT_HOME], each.standings[Standing.NOT_UPLOADED], each.standings[Standing.ACCEPTED],
                each.standings[Standing.COPIED] + each.standings[Standing.ADOPT], round(each.seconds), each.home_bucket,
            )
            for each in plan.tenants
        ),
        always=5,
    )  # fmt: skip
    for each in plan.tenants:
        if each.quarantined:
            say("", f"{each.slug}: would not be moved")
            _quarantined(each.quarantined)
    say("")
    if tiered := sum(each.tiered for each in plan.tenants):
        say(
            f"{counted(tiered, 'document')} in Intelligent-Tiering: one in an archive tier stays until it is restored; "
            "only the copy shows which"
        )
    _show_shared_buckets(plan)
    if plan.documents_without_tenant:
        say(f"{plan.documents_without_tenant:,} rows belong to no tenant: they stay where they are")
    if plan.documents_of_missing_tenants:
        named = counted(plan.missing_tenants, "tenant")
        say(
            f"{plan.documents_of_missing_tenants:,} rows name {named} that the tenants' table lacks: they stay where they are"
        )
    for bucket, key, size in plan.orphans:
        say(f"orphan: {bucket} {key!r} ({human_bytes(size)})")
    if plan.cost:
        say(
            f"Requests cost about ${plan.cost.requests_dollars}; until the sources are removed, the doubled storage costs "
            f"${plan.cost.doubled_storage_dollars} a month."
        )
    if plan.request_metrics_dollars is not None:
        say(
            f"Request metrics (request_metrics) cost up to ${plan.request_metrics_dollars} a month: {REQUEST_METRICS} custom "
            "metrics of CloudWatch for each tenant's bucket."
        )
    say(*(f"{sentence}." for sentence in plan.kept_versions))
    say(_settling(plan.versioning_settle_seconds))
    say("", "What the application must do while tenants move: rehouse rules", "", "Nothing was changed.")


def _show_shared_buckets(plan: Plan) -> None:
    for bucket, (count, size) in plan.shared.items():
        say(f"{bucket}: {counted(count, 'object')}, {human_bytes(size)}")
    for bucket in plan.dropped_buckets:
        say(f"{bucket}: removed by `rehouse cleanup --drop-bucket`")
    for bucket, versioning in plan.shared_versioning.items():
        if versioning == "suspended":
            say(f"{bucket}: its versioning is {SUSPENDED}. Enable it before `rehouse finish`")
    for bucket, count in plan.left_out.items():
        say(
            f"{bucket}: {counted(count, 'object')} more: the database's encoding cannot hold the key, so no row points to it"
        )


def _settling(seconds: int) -> str:
    if not seconds:
        return "Homes are switched as soon as their copies are verified (versioning_settle_seconds is 0)."
    length = spelled(timedelta(seconds=seconds))
    return (
        f"No home is switched sooner than {length} after the versioning of its bucket is enabled (versioning_settle_seconds), so a "
        f"run with new buckets takes {length} or longer; documents are copied meanwhile."
    )


def _quarantined(documents: Sequence[Quarantined]) -> None:
    for each in documents[:SHOWN]:
        say(f"  {each.document_id}  {each.reason}  {each.bucket}/{each.key}: {each.detail}; {each.hint}")
    say_more(len(documents))
