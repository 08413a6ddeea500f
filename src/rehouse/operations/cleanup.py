"""Cleanup: report what is left in the shared buckets and why, and remove a shared bucket that is no longer needed.

The overview changes nothing. A bucket is removed only if every tenant is finished, no row needs it, it holds no current object, no
upload into it is open, and its older versions are all of sources that rehouse removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from rehouse.core.errors import Refused
from rehouse.core.escaping import count_noun
from rehouse.core.lifecycle import Phase, is_at_least
from rehouse.core.model import ObjectRef
from rehouse.ledger.bucket_contents import Leftover, Leftovers, RowsIn
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.pointers import Pointers, Unchecked
from rehouse.ledger.removals import Removals
from rehouse.operations.checks.pointers import KEYS_AT_ONCE, Look, Mention, look_for
from rehouse.operations.services import LeftOut, Services
from rehouse.operations.steps.removals import RemovalPass, remove_sources
from rehouse.operations.steps.survey import pages_of
from rehouse.s3.buckets.delete_objects import NEVER_WAS
from rehouse.s3.buckets.empty import Upload, Version, delete_bucket, delete_versions, uploads, versions
from rehouse.s3.faults import ACCESS_DENIED, refused_error

NAMED = 10
"""How many names an error lists of what prevents the removal."""
CHECKED_AT_ONCE = 1000
NO_GRACE = timedelta(0)
EXAMPLES = 3
CATEGORIES = {
    "pointed_at": "rows point to it: its tenant is not migrated, was rolled back, or a document could not be moved",
    "quarantined": "a row points to it, and it must not be copied in its present state (see the reason)",
    "accepted": "a row points to it, and it stays on purpose (`rehouse accept`)",
    "source": "the source of a document that is in its tenant's bucket: `rehouse finish` removes it after the grace",
    "stays": "the source of a moved document that `rehouse finish` leaves: `rehouse finish SLUG --dry-run` shows the reason",
    "changed": "written after its document was moved: the next run of `migrate` copies it to the tenant's bucket",
    "conflict": "written after its document was moved, as was the object at home: see `rehouse status SLUG`",
    "superseded": "the row moved or was deleted after it was copied",
    "returned": "written by a rollback, but its row now points elsewhere",
    "upload": "of the application's storage: an upload that is not confirmed, or an object that its next sweep deletes",
    "named_elsewhere": "no row points to it, but another column of the database holds its key",
    "other_encoding": "no row can point to it: the database's encoding cannot hold its key",
    "orphan": "no row points to it, and the ledger does not know it",
}


@dataclass(frozen=True, slots=True)
class OlderVersions:
    """The versions of a versioned bucket besides current objects. `size` in bytes."""

    versions: int = 0
    size: int = 0
    delete_markers: int = 0


@dataclass(frozen=True, slots=True)
class BucketLeft:
    """What is left in one shared bucket. `older` is None if the bucket keeps no versions; `size` in bytes.

    `uploads`: open multipart uploads, the oldest since `oldest_upload` (UTC). `rows_by_tenant`: rows that point into it.
    `not_finished`: tenants that may still need it. `homes`: tenants that have it as their home. `kept_empty`: its versions were
    removed, and the empty bucket stays, so that nobody else can take its name. `pointers`: columns outside the mapping that hold
    keys of objects that no row points to. `unchecked`: columns that could not be searched. `not_looked_for`: how many orphans were
    not searched for.
    """

    bucket: str
    objects: int = 0
    size: int = 0
    left: list[Leftover] = field(default_factory=list)
    rows_by_tenant: tuple[RowsIn, ...] = ()
    not_finished: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    older: OlderVersions | None = None
    uploads: int = 0
    oldest_upload: datetime | None = None
    is_removed: bool = False
    kept_empty: bool = False
    pointers: list[Mention] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    not_looked_for: int = 0


def cleanup(services: Services) -> list[BucketLeft]:
    """Return what is left in each shared bucket; changes nothing."""
    with translate_errors():
        stays = _judge_sources(services)
        return [
            BucketLeft(bucket, is_removed=True)
            if bucket in services.settings.dropped_buckets
            else _survey_bucket(services, bucket, {ref.key: why for ref, why in stays.items() if ref.bucket == bucket})
            for bucket in services.settings.require_shared_buckets()
        ]


def foresee_drop(services: Services, bucket: str) -> OlderVersions | None:
    """Return what would be deleted with the bucket, None if it was removed before. Changes nothing.

    Raises Refused if the bucket is not a shared one or is still needed, so that nobody confirms a removal that is then refused.
    """
    if not _is_left(services, bucket):
        return None
    sums = Counter[str]()
    with translate_errors():
        known = Leftovers(services.ledger, bucket, services.settings.require_shared_buckets()[0])
        _refuse_what_is_needed(services, bucket, known)
        _refuse_unknown(bucket, _batches(_sum_up(versions(services.control, bucket), sums)), known)
        _refuse_open_uploads(services, bucket)
    return OlderVersions(sums["versions"], sums["size"], sums["delete_markers"])


def _is_left(services: Services, bucket: str) -> bool:
    """Return whether a shared bucket was not removed before. Raises Refused if it is not a shared bucket."""
    if bucket in services.settings.dropped_buckets:
        return False
    shared = services.settings.require_shared_buckets()
    if bucket not in shared:
        raise Refused(
            f"{bucket} is not one of the shared buckets",
            hint=f"the shared buckets are {', '.join(shared)}",
            subject=bucket,
        )
    return True


def _sum_up(found: Iterable[Version], sums: Counter[str]) -> Iterator[Version]:
    for version in found:
        sums["delete_markers" if version.etag is None else "versions"] += 1
        sums["size"] += version.size
        yield version


def drop_bucket(services: Services, bucket: str, *, keep_empty: bool = False) -> BucketLeft:
    """Remove a shared bucket with its versions; return it. Raises Refused, naming what prevents the removal.

    With `keep_empty` only the versions are removed.
    """
    if not _is_left(services, bucket):
        return BucketLeft(bucket, is_removed=True)
    shared = services.settings.require_shared_buckets()
    with ExitStack() as held, translate_errors():
        for tenant in services.ledger.tenants():
            held.enter_context(services.locks.hold(tenant.id, tenant.slug))
        known = Leftovers(services.ledger, bucket, shared[0])
        _refuse_what_is_needed(services, bucket, known)
        # check all of them before deleting the first one
        _refuse_unknown(bucket, _batches(versions(services.control, bucket)), known)
        _refuse_open_uploads(services, bucket)
        services.keep_locks()
        _empty(services, bucket, known)
        _refuse_open_uploads(services, bucket)  # deleting the bucket would end them without notice
        if keep_empty:
            return BucketLeft(bucket, kept_empty=True)
        known.record_removing()
        delete_bucket(services.control, bucket)
        known.record_removal()
    return BucketLeft(bucket, is_removed=True)


def _judge_sources(services: Services) -> dict[ObjectRef, str]:
    """Return the sources that `finish` would leave after their grace, with the reason, by the same rules as `finish`."""
    stays: dict[ObjectRef, str] = {}
    for tenant in services.ledger.tenants():
        migration = services.ledger.migration(tenant)
        if migration and is_at_least(migration.phase, Phase.CUT_OVER):
            sharing = services.ledger.of(migration, Removals).shared_sources(NO_GRACE)
            run = RemovalPass(services, migration, tenant.slug, NO_GRACE, sharing)
            remove_sources(run, dry_run=True)
            stays |= {each.source: each.code for each in run.left}
    return stays


def _survey_bucket(services: Services, bucket: str, stays: Mapping[str, str]) -> BucketLeft:
    services.ledger.inventory().load(bucket, pages_of(services, bucket))
    services.stop_here()
    objects, size = services.ledger.inventory().totals(bucket)
    default = services.settings.require_shared_buckets()[0]
    known = Leftovers(services.ledger, bucket, default)
    left, needs = known.group(stays), known.needs()
    open_ones = list(uploads(services.control, bucket))
    begun = [each.begun_at for each in open_ones if each.begun_at]
    older = _count_older(services, bucket)
    made = BucketLeft(
        bucket,
        objects,
        size,
        left,
        **needs._asdict(),
        older=older,
        uploads=len(open_ones),
        oldest_upload=min(begun, default=None),
    )
    if any(each.category == "orphan" for each in left):
        made = _find_named_orphans(services, made, default)
    return _add_left_out(made, services.left_out[bucket])


def _add_left_out(made: BucketLeft, left_out: LeftOut) -> BucketLeft:
    """Return the bucket's report with the objects that are missing from the inventory."""
    if not left_out.objects:
        return made
    examples = tuple(left_out.examples)
    others = Leftover("other_encoding", None, None, None, None, left_out.objects, left_out.size, examples)
    return replace(
        made, left=[*made.left, others], objects=made.objects + left_out.objects, size=made.size + left_out.size
    )


def _find_named_orphans(services: Services, made: BucketLeft, default_bucket: str) -> BucketLeft:
    """Search the columns outside the mapping for the orphans' keys: an object that is named there is not an orphan."""
    sizes = dict(Pointers(services.ledger).orphans(made.bucket, default_bucket, KEYS_AT_ONCE))
    found = look_for(services.ledger, services.settings, {key: ["orphan"] for key in sizes})
    look = Look(owners=frozenset(["orphan"]), found=found)
    named = sorted(found.keys)
    size = sum(sizes[key] for key in named)
    left = []
    for each in made.left:
        if each.category != "orphan":
            left.append(each)
            continue
        others = tuple(key for key in each.examples if key not in named)
        rest = each._replace(objects=each.objects - len(named), size=each.size - size, examples=others)
        elsewhere = each._replace(
            category="named_elsewhere", objects=len(named), size=size, examples=tuple(named[:EXAMPLES])
        )
        left += [kind for kind in (elsewhere, rest) if kind.objects]
    orphans = sum(each.objects for each in made.left if each.category == "orphan")
    not_looked_for = max(orphans - len(sizes), 0)
    pointers = look.mentions("orphan")
    return replace(made, left=left, pointers=pointers, unchecked=look.unchecked, not_looked_for=not_looked_for)


def _count_older(services: Services, bucket: str) -> OlderVersions | None:
    found = services.control.read_setting(bucket, "versioning")
    if found.state == "unreadable":
        raise refused_error(
            found.code or ACCESS_DENIED, "whether it keeps versions may not be read", f"the bucket {bucket}"
        )
    if found.value is None or not found.value.get("Status"):
        return None
    count = size = delete_markers = 0
    for version in versions(services.control, bucket):
        if version.etag is None:
            delete_markers += 1
        elif not version.is_current:
            count += 1
            size += version.size
    return OlderVersions(count, size, delete_markers)


def _refuse_what_is_needed(services: Services, bucket: str, known: Leftovers) -> None:
    needs = known.needs()
    if needs.not_finished:
        raise Refused(
            f"{bucket} is still needed: not finished: {_name_some(needs.not_finished)}",
            hint="`rehouse status` shows how far they are; `rehouse finish --all` finishes those that were cut over",
            subject=bucket,
        )
    if needs.rows_by_tenant or needs.homes:
        owners = _name_some([f"{each.slug or 'no tenant'}: {each.rows:,}" for each in needs.rows_by_tenant])
        reasons = [f"{count_noun(needs.rows_in_all, 'row')} point into it ({owners})"] if needs.rows_by_tenant else []
        reasons += [f"it is the home of {_name_some(needs.homes)}"] if needs.homes else []
        raise Refused(
            f"{bucket} is still needed: {'; '.join(reasons)}",
            hint="`rehouse cleanup` shows them; first migrate their tenants or correct the rows",
            subject=bucket,
        )
    objects = 0
    names: list[str] = []
    for page in services.bulk.list(bucket):
        objects += len(page)
        names += [each.key for each in page][: NAMED - len(names)]
    services.stop_here()
    if objects:
        raise Refused(
            f"{bucket} still holds {count_noun(objects, 'object')}: {_name_some(names, objects)}",
            hint="`rehouse cleanup` shows why each is there; remove by hand those that you do not need",
            subject=bucket,
        )


def _refuse_unknown(bucket: str, batches: Iterable[list[Version]], known: Leftovers) -> None:
    current, unknown = _FirstKeys(), _FirstKeys()
    for batch in batches:
        current.add(version.key for version in batch if version.is_current and version.etag is not None)
        removed = known.find_removed(version.key for version in batch)
        asked = {each.key for each in batch if each.etag is None and each.key.startswith(NEVER_WAS)}
        unknown.add(sorted({version.key for version in batch} - removed - asked))
    if current.count:
        raise Refused(
            f"{bucket}: objects were written meanwhile: {_name_some(current.first, current.count)}",
            hint="find out who still writes there, then `rehouse cleanup`",
            subject=bucket,
        )
    if unknown.count:
        raise Refused(
            f"{bucket} keeps older versions of what rehouse did not remove: {_name_some(unknown.first, unknown.count)}",
            hint="remove these versions yourself, if you do not need them",
            subject=bucket,
        )


@dataclass
class _FirstKeys:
    """Counts keys and keeps only the first of them; a key whose versions are in two batches counts once."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    last: str | None = None

    def add(self, keys: Iterable[str]) -> None:
        """Count these keys, which are in order."""
        for key in keys:
            if key != self.last:
                self.count += 1
                self.last = key
                self.first += [key] if len(self.first) < NAMED else []


def _empty(services: Services, bucket: str, known: Leftovers) -> None:
    for batch in _batches(versions(services.control, bucket)):
        services.stop_here()
        services.keep_locks()
        _refuse_unknown(bucket, [batch], known)
        delete_versions(services.control, bucket, batch)


def _refuse_open_uploads(services: Services, bucket: str) -> None:
    open_ones = list(uploads(services.control, bucket))
    if open_ones:
        raise Refused(
            f"{bucket}: multipart uploads into it are open: {_name_some([_describe_upload(each) for each in open_ones])}",
            hint="wait until they end; abort an abandoned one by "
            f"`aws s3api abort-multipart-upload --bucket {bucket} --key KEY --upload-id ID`, "
            f"and `aws s3api list-multipart-uploads --bucket {bucket}` lists all of them",
            subject=bucket,
        )


def _describe_upload(upload: Upload) -> str:
    begun = f", begun {upload.begun_at:%Y-%m-%d %H:%M} UTC" if upload.begun_at else ""
    return f"{upload.key!r} (upload {upload.upload_id}{begun})"


def _batches(found: Iterable[Version]) -> Iterator[list[Version]]:
    waiting = iter(found)
    while batch := list(islice(waiting, CHECKED_AT_ONCE)):
        yield batch


def _name_some(names: Sequence[str], count: int | None = None) -> str:
    """Return the first names, and how many more there are; `count`: the number of all, if it is more than `names`."""
    rest = (len(names) if count is None else count) - len(names[:NAMED])
    return ", ".join(names[:NAMED]) + (f" and {rest:,} more" if rest else "")
