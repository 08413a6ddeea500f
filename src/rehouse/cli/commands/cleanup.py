"""The command `cleanup`: show what is left in the shared buckets and why, and remove a bucket that nobody needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.confirm import KeepEmptyOption, Removal, YesOption, confirm, warn_of_name
from rehouse.cli.options import OutputOption, ProgressOption
from rehouse.cli.output import SHOWN, print_report, say, say_more, say_next, table
from rehouse.cli.progress import Bytes, human_bytes
from rehouse.cli.reports import show_mentions, show_unchecked
from rehouse.core.escaping import count_noun
from rehouse.core.next_steps import CleanupResult, after_cleanup

if TYPE_CHECKING:
    from rehouse.ledger.bucket_contents import Leftover
    from rehouse.operations.cleanup import BucketLeft, OlderVersions


DropOption = Annotated[
    str | None,
    typer.Option("--drop-bucket", metavar="BUCKET", help="Remove this shared bucket.", show_default=False),
]


def cleanup(
    *,
    drop_bucket: DropOption = None,
    keep_empty: KeepEmptyOption = False,
    yes: YesOption = False,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Show what is left in the shared buckets, and why. With --drop-bucket, it removes a shared bucket that nobody needs.

    Examples: `rehouse cleanup`, `rehouse cleanup --drop-bucket dataroom-v2-documents`.
    """
    from rehouse.cli.services import services
    from rehouse.operations import cleanup as cleaning

    if keep_empty and not drop_bucket:
        raise typer.BadParameter("--keep-empty needs --drop-bucket")
    goes = None
    if drop_bucket and not yes:
        with services(writes=False, progress=progress) as opened:  # refuse before asking for a confirmation
            goes = cleaning.foresee_drop(opened, drop_bucket)
    if drop_bucket:
        warn_of_name(drop_bucket, keep_empty=keep_empty)
    if drop_bucket and goes:
        confirm(_removal(drop_bucket, goes, keep_empty=keep_empty), drop_bucket, yes=False)
    with services(writes=drop_bucket is not None, progress=progress) as opened:
        made = (
            [cleaning.drop_bucket(opened, drop_bucket, keep_empty=keep_empty)]
            if drop_bucket
            else cleaning.cleanup(opened)
        )

    def show() -> None:
        show_cleanup(made)
        say_next(after_cleanup([_result_of(each) for each in made]))

    print_report(output, {"buckets": made}, show)


def _removal(bucket: str, goes: OlderVersions, *, keep_empty: bool) -> Removal:
    what = f"every version in the bucket {bucket}, and keeps the bucket" if keep_empty else f"the bucket {bucket}"
    return Removal(
        what=f"This removes {what}",
        final="None of this can be restored.",
        headings=("bucket", "versions", "delete markers", "bytes"),
        rows=[(bucket, goes.versions, goes.delete_markers, Bytes(goes.size))],
    )


def _result_of(bucket: BucketLeft) -> CleanupResult:
    return CleanupResult(
        bucket.bucket,
        is_gone=bucket.is_removed or bucket.kept_empty,
        is_unused=not (
            bucket.objects or bucket.uploads or bucket.rows_by_tenant or bucket.not_finished or bucket.homes
        ),
        is_needed=bool(bucket.rows_by_tenant or bucket.not_finished or bucket.homes),
        categories=frozenset(each.category for each in bucket.left),
    )


def show_cleanup(buckets: Sequence[BucketLeft]) -> None:
    """Print for each shared bucket what is left in it, and why."""
    for number, each in enumerate(buckets):
        if number:
            say("")
        if each.kept_empty:
            say(f"{each.bucket}: emptied and kept, so that no other account can take its name")
            continue
        if each.is_removed:
            say(f"{each.bucket}: removed", "You can remove its name from REHOUSE_SHARED_BUCKET.")
            continue
        say(f"{each.bucket}: {count_noun(each.objects, 'object')}, {human_bytes(each.size)}")
        if each.left:
            _leftovers(each.left)
        _rows(each)
        _look_for_orphans(each)
        if each.older:
            kept = f"{each.older.versions:,} older versions, {human_bytes(each.older.size)}"
            say(f"{kept}, {each.older.delete_markers:,} delete markers")
        if each.uploads:
            oldest = f", the oldest from {each.oldest_upload:%Y-%m-%d %H:%M} UTC" if each.oldest_upload else ""
            say(f"{count_noun(each.uploads, 'multipart upload')} {'is' if each.uploads == 1 else 'are'} open{oldest}")
        elif _result_of(each).is_unused:
            say("Nothing is left.")


def _rows(bucket: BucketLeft) -> None:
    """Print how many rows point into the bucket, the rows without an object by tenant, and the tenants that still need it."""
    if bucket.rows_by_tenant:
        say(f"{count_noun(sum(each.rows for each in bucket.rows_by_tenant), 'row')} point into it")
    lost = [each for each in bucket.rows_by_tenant if each.without_object]
    if lost:
        say(f"{count_noun(sum(each.without_object for each in lost), 'row')} among these without an object:")
        table(
            ("tenant", "rows", "example documents"),
            ((each.slug or "none", each.without_object, ", ".join(map(escape_key, each.examples))) for each in lost),
        )
    for what, slugs in (("Not finished", bucket.not_finished), ("Home of", bucket.homes)):
        if slugs:
            say(f"{what}: {', '.join(slugs[:SHOWN])}")
            say_more(len(slugs))


def _look_for_orphans(bucket: BucketLeft) -> None:
    if bucket.pointers:
        say("Columns outside the mapping hold keys of objects that no row points to:")
        show_mentions(bucket.pointers)
    if bucket.unchecked:
        say("An orphan may still be in use: these columns could not be searched for its key:")
        show_unchecked(bucket.unchecked)
    if bucket.not_looked_for:
        say(f"{bucket.not_looked_for:,} more orphans were not searched for: there are too many.")


def _leftovers(left: Sequence[Leftover]) -> None:
    from rehouse.operations.cleanup import CATEGORIES

    table(
        ("why", "tenant", "phase", "reason", "objects", "bytes", "such as"),
        (
            (
                each.category, each.slug, each.phase, each.code, each.objects, Bytes(each.size),
                ", ".join(map(escape_key, each.examples)),
            )
            for each in left
        ),
        always=3,
        spare=("phase", "bytes"),
        whole=("why", "reason"),
    )  # fmt: skip
    for category in sorted({each.category for each in left}):
        say(f"  {category}: {CATEGORIES[category]}")


def escape_key(key: str) -> str:
    """Escape a key so that it prints on one line and cannot control the terminal."""
    return key if key.isprintable() else repr(key)
