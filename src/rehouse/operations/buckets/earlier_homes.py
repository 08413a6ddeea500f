"""Buckets that rehouse made for a tenant and that the database does not name.

The database may have been restored from an old dump, or another database may use the bucket. So rehouse never takes such a bucket,
and refuses to make a second one for the tenant unless every object in the first is outdated (core.earlier_homes). This module
changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rehouse.config import Settings
from rehouse.core.bucket.documents import tag_value
from rehouse.core.copies import Places
from rehouse.core.earlier_homes import is_outdated
from rehouse.core.errors import Refused, StorageRefused
from rehouse.core.model import Document, ListedObject, Tenant
from rehouse.core.naming import is_named_for, target_folder
from rehouse.ledger.ledger import Ledger
from rehouse.operations.buckets.homes import list_with_our_prefix, naming_statement, stand_in_migration
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.objects import find_object, list_at_most

MOST_COMPARED = 1000
"""Objects of an earlier bucket that are compared with their sources; S3 lists as many at once. With more, it counts as needed."""


def refuse_earlier_home(settings: Settings, control: Control, ledger: Ledger, tenant: Tenant) -> tuple[str, ...]:
    """Refuse to make a bucket for a tenant if an earlier bucket was made for it that the database does not name.

    Return notes on what could not be checked, and on earlier buckets that nobody needs. Raises Refused.
    """
    try:
        earlier = earlier_homes(settings, control, ledger, tenant)
    except StorageRefused as error:
        return (f"could not check whether rehouse made buckets that this database does not name: {error.message}",)
    if earlier.needed or earlier.unclear:
        message, hint = earlier_home_message(settings, tenant, earlier)
        raise Refused(message, hint=hint, subject=tenant.slug)
    return tuple(outdated_message(tenant, each) for each in earlier.outdated)


def earlier_home_message(settings: Settings, tenant: Tenant, earlier: EarlierHomes) -> tuple[str, str]:
    """Return a message and a hint about buckets that were made for a tenant and that the database does not name."""
    if not earlier.needed:
        return (
            f"{tenant.slug}: the tags of {' and '.join(earlier.unclear)} cannot be read; rehouse may have made it for this tenant",
            "grant s3:GetBucketTagging on these buckets, then run the same command again",
        )
    statements = " or ".join(naming_statement(settings, tenant, each) for each in earlier.needed)
    return (
        f"{tenant.slug}: this database does not name a bucket that rehouse made for this tenant: {', '.join(earlier.needed)}",
        f"if the database was restored from a dump: {statements} If another database uses the bucket: set another "
        "REHOUSE_BUCKET_PREFIX",
    )


def outdated_message(tenant: Tenant, bucket: str) -> str:
    """Return what to know of an earlier bucket in which every object is outdated."""
    return (
        f"{tenant.slug}: rehouse made {bucket} for this tenant earlier, and this database does not name it. Every document in it "
        "was written to the shared bucket again since, so the tenant gets a new bucket, and this one stays as it is"
    )


class EarlierHomes(NamedTuple):
    """Buckets with a tenant's name that the database does not name.

    `needed` and `outdated` have its tags; the former may hold what the shared bucket lacks. The tags of `unclear` are unreadable.
    """

    needed: Sequence[str] = ()
    outdated: Sequence[str] = ()
    unclear: Sequence[str] = ()


def earlier_homes(settings: Settings, control: Control, ledger: Ledger, tenant: Tenant) -> EarlierHomes:
    """Return the buckets that were made for this tenant and that neither a row nor the ledger names.

    Name and tags must be the tenant's, because the prefix of another database may begin with ours. The buckets are listed once a
    run, and tags are read only if the name fits. Raises StorageRefused if the buckets cannot be listed.
    """
    wanted = {"tenant-id": tag_value(str(tenant.id)), "tenant-slug": tag_value(tenant.label)}
    needed: list[str] = []
    outdated: list[str] = []
    unclear: list[str] = []
    for bucket in control.once(_list_unnamed, settings=settings, ledger=ledger):
        if not is_named_for(bucket, settings.bucket_prefix, tenant.label):
            continue
        tags = control.read_setting(bucket, "tags")
        if tags.state == "unreadable":
            unclear.append(bucket)
        elif wanted.items() <= dict(tags.value or {}).items():
            is_needed = _may_be_needed(settings, control, ledger, tenant, bucket)
            (needed if is_needed else outdated).append(bucket)
    return EarlierHomes(needed, outdated, unclear)


def _list_unnamed(control: Control, settings: Settings, ledger: Ledger) -> list[str]:
    """Return the buckets with our prefix that this database does not name."""
    named = {each.home_bucket for each in ledger.overview()} | {each.home for each in ledger.tenants()}
    return [name for name in list_with_our_prefix(control, settings) if name not in named]


def _may_be_needed(settings: Settings, control: Control, ledger: Ledger, tenant: Tenant, bucket: str) -> bool:
    """Return whether the bucket may hold an object that the shared bucket lacks, or a newer one. What cannot be read may be so."""
    try:
        objects = list_at_most(control, bucket, MOST_COMPARED)
        return objects is None or not _are_outdated(settings, control, ledger, tenant, objects)
    except StorageRefused:
        return True


def _are_outdated(
    settings: Settings, control: Control, ledger: Ledger, tenant: Tenant, objects: Collection[ListedObject]
) -> bool:
    """Return whether each object lies in a document's folder, and is older than the source that the document's row names."""
    remaining: dict[str, list[ListedObject]] = defaultdict(list)
    for each in objects:
        remaining[_folder_of(each.key)].append(each)
    migration = stand_in_migration(tenant, settings)
    longest = ledger.catalog.longest_key
    places = Places(settings.require_shared_buckets(), migration.home_bucket, longest)
    for page in ledger.documents(migration).pages_outside(settings.batch_size):
        for document in (each.document for each in page):
            copies = remaining.pop(target_folder(document.id, max_characters=longest), ())
            source = _source_of(control, places, document) if copies else None
            if not all(is_outdated(copy, source) for copy in copies):
                return False
    return not remaining


def _folder_of(key: str) -> str:
    """Return the key up to its second slash: a document's folder, if the key is one of a document."""
    parts = key.split("/", 2)
    return f"{parts[0]}/{parts[1]}/" if len(parts) == 3 else ""


def _source_of(control: Control, places: Places, document: Document) -> ListedObject | None:
    """Return the document's object in a shared bucket, None if there is none. Raises StorageRefused."""
    ref = places.source_of(document)
    if ref.bucket not in places.shared or document.key_fault:
        return None
    return find_object(control, ref)
