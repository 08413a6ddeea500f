"""The reports of finish and cleanup, as text for people and as one object for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rehouse.cli.output import plain, say, table
from rehouse.cli.progress import human_bytes
from rehouse.cli.reports import SHOWN, of_tenant
from rehouse.core.escaping import counted
from rehouse.ledger.leftovers import Leftover
from rehouse.ledger.pointers import Unchecked
from rehouse.operations.checks.pointers import POINTERS_HINT, UNCHECKED_HINT, Mention
from rehouse.operations.cleanup import CATEGORIES, BucketLeft
from rehouse.operations.finish import FinishReport
from rehouse.operations.uninstall import Uninstalled


def show_finish(reports: Sequence[FinishReport], *, dry_run: bool) -> None:
    """Print what became of each tenant's sources, what stays and why, and the closing line."""
    table(
        ("tenant", "phase", "to remove" if dry_run else "removed", "bytes", "waiting", "next (UTC)", "left", "changed",
         "put back", "moved", "outstanding", "bucket"),
        (
            (
                each.slug, each.phase, each.removed, human_bytes(each.removed_bytes), each.waiting, each.next_at, len(each.left),
                each.changed, each.put_back, each.this_run, len(each.outstanding), each.home_bucket,
            )
            for each in reports
        ),
        always=7,
    )  # fmt: skip
    for each in reports:
        if each.error:
            say("", of_tenant(each.slug, each.error), f"  hint: {each.hint}")
        _look(each, dry_run=dry_run)
        if each.left:
            say("", f"{each.slug}: sources that stay")
            say(
                *(
                    f"  {left.document_id}  {left.reason}  {left.source.bucket}/{left.source.key}: {left.message}"
                    for left in each.left[:SHOWN]
                )
            )
            if len(each.left) > SHOWN:
                say(f"  … and {len(each.left) - SHOWN:,} more (--output json lists them all)")
            say(*(f"  {reason}: {hint}" for reason, hint in sorted({(left.reason, left.hint) for left in each.left})))
        if each.outstanding:
            say(
                "",
                f"{each.slug}: {counted(len(each.outstanding), 'document')} could not be moved: rehouse status {each.slug}",
            )
    for setting in sorted({setting for each in reports for setting in each.not_offered}):
        say(f"not offered by this endpoint: {setting}")
    for sentence in sorted({each.gives_up for each in reports if each.gives_up}):
        say(f"note: {sentence}")
    for sentence in sorted({sentence for each in reports for sentence in each.kept_versions}):
        say(f"note: {sentence}")
    say("", closing_line(reports, dry_run=dry_run))


def _look(report: FinishReport, *, dry_run: bool) -> None:
    """Print which columns outside the mapping hold keys or were not looked at, and whether sources are removed."""
    nothing = "nothing would be removed" if dry_run else "nothing is removed"
    if report.pointers:
        say("", f"{report.slug}: {nothing}: columns outside the mapping hold keys of its sources")
        _mentions(report.pointers)
        say(f"  hint: {POINTERS_HINT}")
    if report.unchecked:
        outcome = f"{nothing}: columns" if report.held_back else "columns"
        say("", f"{report.slug}: {outcome} could not be searched for keys of its sources")
        _unchecked(report.unchecked)
        if report.held_back:
            say(f"  hint: {UNCHECKED_HINT}")
    if report.in_part:
        say("", f"{report.slug}: only a sample was read of {', '.join(report.in_part)}: `--check-all` reads every row")


def _mentions(mentions: Sequence[Mention]) -> None:
    say(*(f"  {each.column}: {counted(each.rows, 'row')}" for each in mentions))


def _unchecked(columns: Sequence[Unchecked]) -> None:
    say(*(f"  {each.column}: {each.reason}" for each in columns[:SHOWN]))
    if len(columns) > SHOWN:
        say(f"  … and {len(columns) - SHOWN:,} more (--output json lists them all)")


def closing_line(reports: Sequence[FinishReport], *, dry_run: bool) -> str:
    """Return the closing line."""
    removed, waiting, errors = _sums(reports)
    if dry_run:
        return f"Sources to remove: {removed}, Waiting: {waiting}, Errors: {errors}. Nothing was changed."
    return f"Sources removed: {removed}, Waiting: {waiting}, Errors: {errors}"


def finish_object(reports: Sequence[FinishReport], *, dry_run: bool) -> dict[str, Any]:
    """Return what `finish --output json` prints."""
    removed, waiting, errors = _sums(reports)
    tenants = [plain(each) | {"errors": each.errors} for each in reports]
    return {"dry_run": dry_run, "removed": removed, "waiting": waiting, "errors": errors, "tenants": tenants}


def show_cleanup(buckets: Sequence[BucketLeft]) -> None:
    """Print for each shared bucket what is left in it, and why."""
    for number, each in enumerate(buckets):
        if number:
            say("")
        if each.kept_empty:
            say(f"{each.bucket}: emptied and kept, so that no other account can take its name")
            continue
        if each.removed:
            say(f"{each.bucket}: removed", "Take its name out of REHOUSE_SHARED_BUCKET.")
            continue
        say(f"{each.bucket}: {counted(each.objects, 'object')}, {human_bytes(each.size)}")
        if each.left:
            _leftovers(each.left)
        _look_for_orphans(each)
        if each.older:
            kept = f"{each.older.versions:,} older versions, {human_bytes(each.older.size)}"
            say(f"{kept}, {each.older.delete_markers:,} delete markers")
        if each.uploads:
            oldest = f", the oldest begun {each.oldest_upload:%Y-%m-%d %H:%M} UTC" if each.oldest_upload else ""
            say(f"{counted(each.uploads, 'multipart upload')} {'is' if each.uploads == 1 else 'are'} open{oldest}")
        elif not each.objects:
            say(f"Nothing is left: rehouse cleanup --drop-bucket {each.bucket}")


def _look_for_orphans(bucket: BucketLeft) -> None:
    if bucket.pointers:
        say("Columns outside the mapping hold keys of objects that no row points to:")
        _mentions(bucket.pointers)
    if bucket.unchecked:
        say("An orphan may still be in use: these columns could not be searched for its key:")
        _unchecked(bucket.unchecked)
    if bucket.not_looked_for:
        say(f"{bucket.not_looked_for:,} more orphans were not searched for: there are too many.")


def _leftovers(left: Sequence[Leftover]) -> None:
    table(
        ("why", "tenant", "phase", "reason", "objects", "bytes", "such as"),
        (
            (
                each.category, each.slug, each.phase, each.reason, each.objects, human_bytes(each.size),
                ", ".join(map(shown_key, each.examples)),
            )
            for each in left
        ),
        always=3,
    )  # fmt: skip
    for category in sorted({each.category for each in left}):
        say(f"  {category}: {CATEGORIES[category]}")


def shown_key(key: str) -> str:
    """Return a key for one line: what no terminal should get is escaped."""
    return key if key.isprintable() else repr(key)


def _sums(reports: Sequence[FinishReport]) -> tuple[int, int, int]:
    return (
        sum(each.removed for each in reports),
        sum(each.waiting for each in reports),
        sum(each.errors for each in reports),
    )


def show_uninstalled(made: Uninstalled) -> None:
    """Print what was removed, or would be, and what stays."""
    if not made.removed:
        say("Nothing to do: rehouse has nothing in this database.")
        return
    say("Would be removed:" if made.dry_run else "Removed:", *(f"  {name}" for name in made.removed))
    if made.kept:
        say("", "Kept:", *(f"  {name}: {reason}" for name, reason in made.kept.items()))
