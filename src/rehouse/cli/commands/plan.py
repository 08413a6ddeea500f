"""The command `plan`, which is also what `--dry-run` of `migrate` shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli import output as printing
from rehouse.cli.options import AllowQuarantinedOption, OptionalSlug, OutputOption, ProgressOption
from rehouse.cli.output import Attention, console, print_report, say, say_next, table, wrap_line
from rehouse.cli.progress import Bytes, Kind, human_bytes
from rehouse.core.copies import Standing
from rehouse.core.durations import spell_duration
from rehouse.core.escaping import count_noun
from rehouse.core.next_steps import after_plan
from rehouse.core.pricing import REQUEST_METRICS
from rehouse.core.removals import SUSPENDED

if TYPE_CHECKING:
    from rehouse.core.model import TenantId
    from rehouse.operations.plan import Example, Plan, Problem, Totals

LABEL = 11
STANDINGS = {
    Standing.COPIED: "copied before",
    Standing.ADOPT: "found copied",
    Standing.AT_HOME: "moved before",
    Standing.NOT_UPLOADED: "waiting for their upload",
    Standing.ACCEPTED: "accepted",
    Standing.NO_KEY: "without a key",
}

OrphansOption = Annotated[bool, typer.Option("--orphans", help="List the objects that no row points to.")]
SaveOption = Annotated[
    Path | None,
    typer.Option("--save", metavar="FILE", help="Save the plan, for `migrate-all --plan FILE`.", show_default=False),
]


def plan(
    slug: OptionalSlug = None,
    *,
    orphans: OrphansOption = False,
    save: SaveOption = None,
    allow_quarantined: AllowQuarantinedOption = False,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Show what would move, what it costs, and what is wrong. Changes nothing; works before `init`.

    Examples: `rehouse plan`, `rehouse plan acme`, `rehouse plan --save plan.json`, `rehouse plan --orphans --output json`.
    """
    only = None if slug is None else [slug]
    show_plan_of(
        True,
        only,
        None,
        orphans=orphans,
        save=save,
        output=output,
        allow_quarantined=allow_quarantined,
        progress=progress,
    )


def show_plan_of(
    include_inactive: bool,
    only: list[str] | None,
    exclude: list[str] | None,
    *,
    output: str,
    allow_quarantined: bool,
    progress: Kind | None,
    orphans: bool = False,
    save: Path | None = None,
    saved: Path | None = None,
) -> None:
    """Show the plan of the selected tenants. `save`: the file to save it in; `saved`: a file with the plan to compare with."""
    from rehouse.cli import plan_file
    from rehouse.cli.services import finish_by, services
    from rehouse.operations import plan as planning
    from rehouse.operations.selection import choose_tenants

    if save:
        plan_file.refuse_unwritable(save)
    expected = plan_file.read(saved) if saved else None
    with services(writes=False, progress=progress) as opened:
        tenants = choose_tenants(opened, include_inactive=include_inactive, only=only or (), exclude=exclude or ())
        made = planning.plan(opened, tenants, orphans=orphans)
        if expected:
            planning.refuse_unplanned(opened, made, expected, str(saved))
        if save:
            plan_file.save(save, planning.make_saved_plan(opened, made))

    def show() -> None:
        show_plan(made)
        if save:
            say(f"Saved in {save}. With --plan, `migrate` and `migrate-all` refuse anything that is not in this plan.")
        to_copy = {each.slug: each.to_copy for each in made.tenants if each.is_active}
        staying = {each.slug for each in made.tenants if each.quarantined or each.problem}
        kept = str(save or saved) if save or saved else None
        say_next(after_plan(to_copy, is_everybody=len(made.tenants) > 1, staying=staying, saved=kept))

    print_report(output, made, show)
    finish_by([made], allow_quarantined=allow_quarantined)


def refuse_unplanned(
    saved: Path | None,
    *,
    include_inactive: bool = False,
    only: list[str] | None = None,
    exclude: list[str] | None = None,
    progress: Kind | None = None,
) -> Collection[TenantId] | None:
    """Plan again, and refuse anything that is not in the saved plan; return the ids of the tenants, None without a saved plan.

    Changes nothing.
    """
    if saved is None:
        return None
    from rehouse.cli import plan_file
    from rehouse.cli.services import services
    from rehouse.operations import plan as planning
    from rehouse.operations.selection import choose_tenants

    expected = plan_file.read(saved)
    with services(writes=False, progress=progress) as opened:
        tenants = choose_tenants(opened, include_inactive=include_inactive, only=only or (), exclude=exclude or ())
        planning.refuse_unplanned(opened, planning.plan(opened, tenants), expected, str(saved))
    return {tenant.id for tenant in tenants}


def show_plan(plan: Plan) -> None:
    """Print the plan: totals, documents that would stay behind by kind of problem, a line for each tenant, notes."""
    _show_totals(plan)
    for tenant in plan.tenants:
        if tenant.problem:
            say("", tenant.problem, f"  hint: {tenant.hint}")
    for each in plan.problems:
        _show_problem(each, with_tenant=len(plan.tenants) > 1)
    if plan.tenants:
        say("")
        _show_tenants(plan)
    say("", *_notes(plan))
    say("What the application must do while tenants move: rehouse rules", "", "Nothing was changed.")


def _show_totals(plan: Plan) -> None:
    totals = plan.totals
    inactive = f", {totals.inactive:,} of them inactive: `migrate-all` does not move these" if totals.inactive else ""
    _fact("Tenants", f"{totals.tenants_total:,}{inactive}")
    _fact(
        "Documents", f"{totals.documents_total:,}: {', '.join(_standings(totals))}" if totals.documents_total else "0"
    )
    _fact("Bytes", f"{human_bytes(totals.to_copy_bytes)} to copy")
    if plan.cost:
        _fact(
            "Cost",
            f"about ${plan.cost.requests_dollars} for requests; until the sources are removed, "
            f"${plan.cost.doubled_storage_dollars} a month for the doubled storage",
        )
    _fact("Time", _time(totals, plan.versioning_settle_seconds))


def _standings(totals: Totals) -> Iterator[str]:
    """Yield how many documents a migration would copy, leave behind, and find in another state."""
    yield f"{totals.to_copy:,} to copy"
    stays = totals.standings[Standing.QUARANTINED] + totals.faults
    if stays:
        yield f"{stays:,} would stay behind"
    for standing, text in STANDINGS.items():
        if count := totals.standings[standing]:
            yield f"{count:,} {text}"


def _time(totals: Totals, settle_seconds: int) -> str:
    from rehouse.operations.plan import COPIES_A_SECOND

    if not totals.to_copy:
        return "none: there is nothing to copy"
    seconds = max(1, round(totals.seconds))
    whose = "max_rate" if totals.copies_a_second < COPIES_A_SECOND else "what S3 allows for a prefix"
    copies = f"at least {timedelta(seconds=seconds)} for the copies, at {totals.copies_a_second:,g} a second ({whose})"
    if not settle_seconds:
        return copies
    length = spell_duration(timedelta(seconds=settle_seconds))
    return (
        f"{copies}; at least {length} with new buckets: rehouse switches a tenant only when its bucket's versioning has settled "
        "(versioning_settle_seconds), and copies documents meanwhile"
    )


def _fact(label: str, text: str) -> None:
    width = 10_000 if printing.style.wide else max(console().width - LABEL, 4 * LABEL)
    first, *others = (line.strip() for line in wrap_line(text, width))
    say(f"{label:<{LABEL}}{first}", *(f"{'':{LABEL}}{line}" for line in others))


def _show_problem(problem: Problem, *, with_tenant: bool) -> None:
    whose = f" of {count_noun(problem.tenants_affected, 'tenant')}" if problem.tenants_affected > 1 else ""
    say("", f"{problem.code}: {count_noun(problem.documents_affected, 'document')}{whose} would stay behind")
    say(f"  hint: {problem.hint}")
    for each in problem.examples:
        slug = f"{each.slug}  " if with_tenant else ""
        say(f"  {slug}{each.document_id}  {_where(each)}")
    if problem.documents_affected > len(problem.examples):
        say(f"  … and {problem.documents_affected - len(problem.examples):,} more (--output json lists them all)")


def _where(example: Example) -> str:
    """Return where a document's row points and what is wrong; the message alone if it names the key."""
    if example.key and repr(example.key) in example.message:
        return example.message
    return f"{example.bucket}/{example.key}: {example.message}"


def _show_tenants(plan: Plan) -> None:
    table(
        ("tenant", "documents", "to copy", "bytes", "stays", "skipped", "at home", "waiting", "accepted", "copied", "bucket"),
        (
            (
                each.slug if each.is_active else f"{each.slug} (inactive)", each.documents_total, each.to_copy,
                Bytes(each.to_copy_bytes), Attention(len(each.quarantined)), each.standings[Standing.NO_KEY],
                each.standings[Standing.AT_HOME], each.standings[Standing.NOT_UPLOADED], each.standings[Standing.ACCEPTED],
                each.standings[Standing.COPIED] + each.standings[Standing.ADOPT], each.home_bucket,
            )
            for each in plan.tenants
        ),
        always=5,
        spare=("bucket", "bytes"),
    )  # fmt: skip


def _notes(plan: Plan) -> Iterator[str]:
    """Yield notes: about the shared buckets, rows that stay where they are, and additional costs."""
    yield from sorted({f"note: {note}" for each in plan.tenants for note in each.notes})
    yield from _shared_buckets(plan)
    if tiered := sum(each.tiered for each in plan.tenants):
        yield (
            f"{count_noun(tiered, 'document')} in Intelligent-Tiering: a document in an archive tier stays until it is restored; "
            "only the copy shows which"
        )
    if plan.documents_without_tenant:
        yield f"{plan.documents_without_tenant:,} rows belong to no tenant: they stay where they are"
    if plan.documents_of_missing_tenants:
        named = count_noun(plan.missing_tenants, "tenant")
        rows = f"{plan.documents_of_missing_tenants:,} rows"
        yield f"{rows} name {named} missing from the tenants' table: they stay where they are"
    for bucket, key, size in plan.orphans:
        yield f"orphan: {bucket} {key!r} ({human_bytes(size)})"
    if plan.request_metrics_dollars is not None:
        yield (
            f"Request metrics (request_metrics) cost up to ${plan.request_metrics_dollars} a month: {REQUEST_METRICS} custom "
            "metrics of CloudWatch for each tenant's bucket."
        )
    yield from (f"{sentence}." for sentence in plan.kept_versions)


def _shared_buckets(plan: Plan) -> Iterator[str]:
    for bucket, (count, size) in plan.shared.items():
        yield f"{bucket}: {count_noun(count, 'object')}, {human_bytes(size)}"
    for bucket in plan.dropped_buckets:
        yield f"{bucket}: removed by `rehouse cleanup --drop-bucket`"
    for bucket, versioning in plan.shared_versioning.items():
        if versioning == "suspended":
            yield f"{bucket}: its versioning is {SUSPENDED}. Enable it before `rehouse finish`"
    for bucket, count in plan.left_out.items():
        more = count_noun(count, "object")
        yield f"{bucket}: {more} more: the database's encoding cannot hold the key, so no row points to it"
