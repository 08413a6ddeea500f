"""Which bucket belongs to which tenant: its home is the bucket that it has, the one reserved in the ledger, or a new name.

A bucket that is reserved for a tenant belongs to it before a migration and after a rollback as well. This module changes nothing.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rehouse.config import Settings
from rehouse.core.errors import ConfigurationError, Halt, Refused, StorageRefused
from rehouse.core.escaping import count_noun
from rehouse.core.lifecycle import Phase, Status, is_at_least
from rehouse.core.mapping import parse
from rehouse.core.model import Migration, Tenant
from rehouse.core.naming import MAX_BUCKET_NAME, SUFFIX_DIGITS, bucket_name
from rehouse.operations.buckets.home_spec import log_bucket_name
from rehouse.operations.services import Services
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import translate_errors

NO_RUN = "00000000-0000-0000-0000-000000000000"
NO_HOME = ""
LOST_HOME_HINT = (
    "if `rehouse rollback --drop-bucket` removed it and an older database was restored since: point the rows back to the shared "
    'bucket (the page "Restore an old database dump" shows how); else find out who deleted it'
)


def home_of(tenant: Tenant, settings: Settings, migration: Migration | None) -> str | None:
    """Return the home bucket that the tenant has or that is reserved for it, None if there is none yet.

    A tenant whose bucket is one of the shared ones has no home. Raises Halt if the ledger and the application disagree
    after the cutover.
    """
    own = tenant.home if tenant.home not in settings.require_shared_buckets() else None
    promised = migration.home_bucket if migration and migration.home_bucket != NO_HOME else None
    if own and promised and own != promised:
        raise Halt(
            f"{tenant.slug}: its row names the bucket {own}, the ledger {promised}",
            hint="correct tenants.aws_bucket_name, or find out who changed it, then run the same command again",
            subject=tenant.slug,
        )
    if promised and not own and migration and is_at_least(migration.phase, Phase.CUT_OVER):
        raise Halt(
            f"{tenant.slug}: it was cut over to {promised}, but its row names {tenant.home or 'no bucket'}",
            hint=f"if an old dump of the row was restored: {naming_statement(settings, tenant, promised)} "
            "Else find out who changed the row before you continue",
            subject=tenant.slug,
        )
    return own or promised


def is_home_gone(services: Services, migration: Migration) -> bool:
    """Return whether the tenant's bucket no longer exists."""
    return migration.home_bucket == NO_HOME or services.control.head(migration.home_bucket).whose == "absent"


def refuse_lost_home(services: Services, migration: Migration, slug: str) -> None:
    """Raise Refused if the tenant's bucket does not exist, and rows point into it."""
    if migration.home_bucket == NO_HOME or not is_home_gone(services, migration):
        return
    if rows := services.ledger.documents(migration).counts().at_home:
        raise Refused(lost_home_message(slug, migration.home_bucket, rows), hint=LOST_HOME_HINT, subject=slug)


def lost_home_message(slug: str, bucket: str, rows: int) -> str:
    """Return what is wrong if a tenant's bucket is gone and so many rows point into it."""
    return f"{slug}: its bucket {bucket} does not exist, and rows point into it: {count_noun(rows, 'document')}"


def missing_homes(settings: Settings, control: Control, homes: Collection[str]) -> set[str]:
    """Return those of the buckets that do not exist, as far as they have our prefix; none if the buckets cannot be listed."""
    ours = {home for home in homes if home.startswith(f"{settings.bucket_prefix}-")}
    try:
        there = set(control.once(list_with_our_prefix, settings=settings)) if ours else set()
    except StorageRefused:
        return set()
    return {home for home in ours - there if control.head(home).whose == "absent"}


def naming_statement(settings: Settings, tenant: Tenant, bucket: str) -> str:
    """Return the UPDATE that names a tenant's bucket in its row, with the names of the mapping."""
    tenants = settings.mapping.tenants
    table = ".".join(map(_quote_identifier, tenants.table.split(".")))
    home, key = (_quote_identifier(parse(field, getattr(tenants, field)).name) for field in ("aws_bucket_name", "id"))
    value = str(tenant.id) if isinstance(tenant.id, int) else _literal(tenant.id)
    return f"UPDATE {table} SET {home} = {_literal(bucket)} WHERE {key} = {value};"  # noqa: S608 (shown to a person, never run)


def _quote_identifier(name: str) -> str:
    return name if name.isidentifier() and name.isascii() and name.islower() else '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def new_home(tenant: Tenant, settings: Settings, account: str | None) -> str:
    """Return a new bucket name for the tenant, with 8 random hex characters."""
    suffix = secrets.token_hex(SUFFIX_DIGITS // 2)
    return bucket_name(settings.bucket_prefix, tenant.label, suffix, namespace=namespace(settings, account))


def namespace(settings: Settings, account: str | None) -> str:
    """Return the ending of a name in the account-regional namespace, empty for global names."""
    if settings.bucket_namespace == "global":
        return ""
    if account is None:
        raise Halt(
            "the account-regional namespace needs the account's number, and the endpoint does not reveal it",
            hint="unset REHOUSE_BUCKET_NAMESPACE for this endpoint",
            subject="bucket_namespace",
        )
    ending = f"-{account}-{settings.region}-an"
    longest = MAX_BUCKET_NAME - len(ending) - SUFFIX_DIGITS - 1
    if len(settings.bucket_prefix) > longest:
        raise ConfigurationError(
            f"the bucket prefix {settings.bucket_prefix} is too long for names that end in {ending}",
            hint=f"set a REHOUSE_BUCKET_PREFIX of at most {longest} characters",
            subject="bucket_prefix",
        )
    return ending


def stand_in_migration(tenant: Tenant, settings: Settings) -> Migration:
    """Return a migration for a tenant that has none: without a home, or with the home that the application gave it."""
    home = home_of(tenant, settings, None)
    return Migration(tenant.id, NO_RUN, Phase.PLANNED, home or NO_HOME, None, Status.PENDING)


@dataclass(frozen=True, slots=True)
class Holding:
    """A tenant and its bucket. `is_made`: the bucket must exist. `names`: all buckets that belong to the tenant.

    `contradiction`: how the tenant's row and the ledger disagree, or None. `others`: tenants with the same bucket.
    """

    tenant: Tenant
    bucket: str | None
    is_made: bool
    is_rolled_back: bool
    names: frozenset[str]
    contradiction: Halt | None = None
    others: tuple[str, ...] = ()


def holdings(services: Services, tenants: Sequence[Tenant]) -> list[Holding]:
    """Return the holding of each tenant."""
    settings = services.settings
    everybody = [_holding_of(settings, each, services.ledger.migration(each)) for each in services.ledger.tenants()]
    owners = {
        name: [each.tenant.slug for each in everybody if each.bucket == name]
        for name, count in Counter(each.bucket for each in everybody if each.bucket).items()
        if count > 1
    }
    wanted = {each.id for each in tenants}
    return [_add_others(each, owners) for each in everybody if each.tenant.id in wanted]


def list_unowned(services: Services, held: Sequence[Holding]) -> list[str]:
    """Return the buckets with our prefix that no tenant has, in order of name. `held`: the holdings of all tenants.

    Raises StorageRefused or StorageUnavailable if the buckets cannot be listed.
    """
    settings, control = services.settings, services.control
    kept = {name for each in held for name in each.names}
    kept |= {*settings.require_shared_buckets(), log_bucket_name(settings, control)}
    return sorted(name for name in list_with_our_prefix(control, settings) if name not in kept)


def _holding_of(settings: Settings, tenant: Tenant, migration: Migration | None) -> Holding:
    known = {tenant.home, migration.home_bucket, migration.previous_home} if migration else {tenant.home}
    names = frozenset(name for name in known if name) - {*settings.require_shared_buckets()}
    is_rolled_back = migration is not None and migration.phase is Phase.ROLLED_BACK
    try:
        bucket = home_of(tenant, settings, migration)
    except Halt as contradiction:
        return Holding(tenant, None, False, is_rolled_back, names, contradiction)
    is_made = bucket is not None and (
        tenant.home == bucket or (migration is not None and is_at_least(migration.phase, Phase.PROVISIONED))
    )
    return Holding(tenant, bucket, is_made, is_rolled_back, names)


def _add_others(holding: Holding, owners: dict[str, list[str]]) -> Holding:
    others = tuple(slug for slug in owners.get(holding.bucket or "", ()) if slug != holding.tenant.slug)
    return replace(holding, others=others)


def list_with_our_prefix(control: Control, settings: Settings) -> list[str]:
    """Return our buckets that begin with the tenants' prefix. Raises StorageRefused if they cannot be listed."""
    with translate_errors("the buckets that no tenant has"):
        return list(control.buckets(f"{settings.bucket_prefix}-"))
