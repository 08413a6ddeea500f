"""Remove or empty the bucket of a tenant that was rolled back: close it to writers first, then compare it with the ledger.

rehouse deletes only objects that the ledger knows, version by version. If there is anything else, it lists that and deletes
nothing. After a kill at any point, the same command continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from rehouse.core.bucket.documents import closed_policy
from rehouse.core.errors import Refused, RehouseError
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Migration, Tenant, TenantId
from rehouse.ledger.bucket_contents import FormerHome, HeldVersion
from rehouse.ledger.faults import translate_errors
from rehouse.operations.buckets.home_spec import is_closed_to_writers, log_bucket_name
from rehouse.operations.report import ReturnReport, close_return_after
from rehouse.operations.services import Services
from rehouse.s3.buckets import empty
from rehouse.s3.buckets.empty import Upload, Version

SHOWN = 20


@dataclass(frozen=True)
class DropReport:
    """A bucket that was removed, or with `dry_run` would be: the number of versions (including delete markers) and open uploads.

    `size`: the bytes of its versions.
    `kept_empty`: the bucket stays, empty and closed to writers, so that nobody else can take its name.
    """

    slug: str
    tenant_id: TenantId
    bucket: str
    versions: int
    uploads: int
    dry_run: bool
    kept_empty: bool = False
    size: int = 0


def bucket_to_drop(services: Services, tenant: Tenant) -> str:
    """Return the name of the bucket that may be removed. Raises Refused, with the reason, if none may be. Changes nothing."""
    with translate_errors():
        return _require_droppable(services, tenant).home_bucket


def drop_bucket(
    services: Services, tenant: Tenant, bucket: str, *, dry_run: bool = False, keep_empty: bool = False
) -> DropReport:
    """Close, check, empty and delete the bucket, whose name was confirmed; return what was deleted.

    With `keep_empty` the empty bucket stays, closed to writers, and a later migration of the tenant uses it again.
    Raises Refused, before anything is deleted, if the bucket may not be removed or holds something unknown. Raises TryAgain if
    another operator works on the tenant.
    """
    with translate_errors(), services.locks.hold(tenant.id, tenant.slug):
        migration = _require_droppable(services, services.ledger.reread(tenant))
        if migration.home_bucket != bucket:
            raise Refused(
                f"{bucket} is no longer the bucket of {tenant.slug}",
                hint="run the same command again",
                subject=bucket,
            )
        drops = services.ledger.of(migration, FormerHome)
        is_there = services.control.head(bucket).whose != "absent"
        if is_there and not dry_run:
            _close(services, bucket)
        sizes = [0]
        drops.replace_contents(_list_contents(services, bucket, sizes) if is_there else ())
        _refuse_unknown(drops, bucket)
        if dry_run:
            versions, uploads = sum(1 for _ in drops.versions()), sum(1 for _ in drops.uploads())
            return DropReport(tenant.slug, tenant.id, bucket, versions, uploads, True, keep_empty, sizes[0])
        _require_droppable(
            services, services.ledger.reread(tenant)
        )  # a row may have been added before the bucket was closed
        services.ledger.begin_run(tenant, bucket)
        try:
            with translate_errors():
                versions, uploads = _empty(services, drops, bucket) if is_there else (0, 0)
                services.keep_locks()
                _give_up(services, drops, bucket, is_there=is_there, keep_empty=keep_empty)
        except RehouseError as error:
            close_return_after(services, tenant, ReturnReport(tenant.slug, tenant.id), error)
            raise
        return DropReport(tenant.slug, tenant.id, bucket, versions, uploads, False, keep_empty and is_there, sizes[0])


def _require_droppable(services: Services, tenant: Tenant) -> Migration:
    migration = services.ledger.migration(tenant)
    if migration is None or migration.phase is not Phase.ROLLED_BACK:
        standing = f"is {migration.phase}" if migration else "has no bucket of its own in the ledger"
        raise Refused(
            f"{tenant.slug} {standing}: there is no bucket to remove",
            hint=f"only a tenant that was rolled back leaves one: `rehouse rollback {tenant.slug}`",
            subject=tenant.slug,
        )
    reason = _obstacle(services, tenant, migration)
    if reason:
        raise Refused(
            f"{migration.home_bucket} is not removed: {reason[0]}", hint=reason[1], subject=migration.home_bucket
        )
    return migration


def _obstacle(services: Services, tenant: Tenant, migration: Migration) -> tuple[str, str] | None:
    """Return why the bucket must stay, and a hint; None if it may be removed."""
    home, settings = migration.home_bucket, services.settings
    if home in {migration.previous_home, tenant.home}:
        return (
            "it was the tenant's own before the migration",
            "rehouse removes only buckets that it made; remove it yourself",
        )
    if home in {*settings.require_shared_buckets(), log_bucket_name(settings, services.control)}:
        return "it is a shared bucket, or the one of the access logs", "correct the ledger's home_bucket"
    others = services.ledger.find_others_at(home, tenant)
    if others:
        return (
            f"it is also the home of {', '.join(others)}",
            "correct that tenant's row: each tenant needs its own bucket",
        )
    drops = services.ledger.of(migration, FormerHome)
    if drops.is_in_use():
        return "rows point into it", f"`rehouse rollback {tenant.slug}` sends them back"
    last = drops.last_return()
    if last and datetime.now(UTC) - last < settings.grace:
        until = f"{last + settings.grace:%Y-%m-%d %H:%M} UTC"
        return f"pointers read before the rollback may be in use until {until}", "wait, or change REHOUSE_GRACE_DAYS"
    return None


def _close(services: Services, bucket: str) -> None:
    """Deny every upload, and read the policy back, so that nothing is written between the check and the deletion."""
    control, region = services.control, services.settings.region
    before = control.read_setting(bucket, "policy")
    if before.state in {"set", "absent"}:
        policy = before.value if before.state == "set" else None
        control.apply(bucket, "policy", closed_policy(policy, bucket, region))
        if is_closed_to_writers(services.settings, control, bucket):
            return
    raise Refused(
        f"{bucket} could not be closed to writers ({before.code or 'its policy reads back otherwise'})",
        hint="the role `finish` of `rehouse iam-policy` may read and write the bucket's policy",
        subject=bucket,
    )


def _list_contents(services: Services, bucket: str, sizes: list[int]) -> Iterator[HeldVersion]:
    """Yield the contents of the bucket; add the bytes of the versions to `sizes[0]`."""
    for version in empty.versions(services.control, bucket):
        services.stop_here()
        sizes[0] += version.size
        yield HeldVersion(version.key, version.version_id, version.etag, version.is_current, False)
    for upload in empty.uploads(services.control, bucket):
        yield HeldVersion(upload.key, upload.upload_id, None, False, True)


def _refuse_unknown(drops: FormerHome, bucket: str) -> None:
    unknown = drops.unknown_contents()
    if unknown:
        named = [f"{each.key!r} ({'upload' if each.is_upload else 'version'} {each.version_id})" for each in unknown]
        more = f" and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
        raise Refused(
            f"{bucket} holds what the ledger does not know, so nothing was deleted: {', '.join(named[:SHOWN])}{more}",
            hint="run `rehouse rollback` again to return what was written since; check the rest and remove it yourself",
            subject=bucket,
        )


def _empty(services: Services, drops: FormerHome, bucket: str) -> tuple[int, int]:
    """Delete everything in the bucket, the current versions last: else an older version that a later run does not know appears."""
    control = services.control
    services.keep_locks()
    versions = 0
    for is_current in (False, True):
        versions += empty.delete_versions(
            control, bucket, _list_versions_to_delete(services, drops, is_current=is_current)
        )
    uploads = empty.abort_uploads(control, bucket, (Upload(each.key, each.version_id) for each in drops.uploads()))
    return versions, uploads


def _give_up(services: Services, drops: FormerHome, bucket: str, *, is_there: bool, keep_empty: bool) -> None:
    if is_there and keep_empty:
        drops.keep_home()
        return
    if is_there:
        empty.delete_bucket(services.control, bucket)
    drops.forget_home()


def _list_versions_to_delete(services: Services, drops: FormerHome, *, is_current: bool) -> Iterator[Version]:
    """Yield what to delete. Check the lock with every request, because a later migration may use the bucket again."""
    doomed = (each for each in drops.versions() if each.is_current is is_current)
    for number, each in enumerate(doomed, 1):
        if number % empty.DELETED_PER_REQUEST == 0:
            services.keep_locks()
        yield Version(each.key, each.version_id, each.etag, 0, is_current)
