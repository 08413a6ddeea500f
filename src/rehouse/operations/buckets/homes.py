"""Which bucket is a tenant's home: the one it has, the one reserved in the ledger, or a new name."""

from __future__ import annotations

import secrets

from rehouse.config import Settings
from rehouse.core.errors import ConfigurationError, Halt
from rehouse.core.lifecycle import Phase, Status, is_at_least
from rehouse.core.model import Migration, Tenant
from rehouse.core.naming import MAX_BUCKET_NAME, SUFFIX_DIGITS, bucket_name

NO_RUN = "00000000-0000-0000-0000-000000000000"
NO_HOME = ""


def home_of(tenant: Tenant, settings: Settings, migration: Migration | None) -> str | None:
    """Return the home bucket the tenant has or is promised, None if there is none yet.

    A tenant whose bucket is one of the shared ones has no home. Raises Halt where the ledger and the application disagree
    after the cutover.
    """
    own = tenant.home if tenant.home not in settings.require_shared_buckets() else None
    promised = migration.home_bucket if migration and migration.home_bucket != NO_HOME else None
    if own and promised and own != promised:
        raise Halt(
            f"{tenant.slug}: its row names the bucket {own}, the ledger {promised}",
            hint="put tenants.aws_bucket_name right, or find out who changed it, before going on",
        )
    if promised and not own and migration and is_at_least(migration.phase, Phase.CUT_OVER):
        raise Halt(
            f"{tenant.slug}: it was cut over to {promised}, but its row names {tenant.home or 'no bucket'}",
            hint="somebody changed tenants.aws_bucket_name back; put it right before going on",
        )
    return own or promised


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
            "the account-regional namespace needs the account's number, and the endpoint does not tell it",
            hint="unset REHOUSE_BUCKET_NAMESPACE for this endpoint",
        )
    ending = f"-{account}-{settings.region}-an"
    longest = MAX_BUCKET_NAME - len(ending) - SUFFIX_DIGITS - 1
    if len(settings.bucket_prefix) > longest:
        raise ConfigurationError(
            f"the bucket prefix {settings.bucket_prefix} is too long for names that end in {ending}",
            hint=f"set a REHOUSE_BUCKET_PREFIX of at most {longest} characters",
        )
    return ending


def unreserved(tenant: Tenant, settings: Settings) -> Migration:
    """Return what stands in for the migration of a tenant that has none: no home, or the one it came with."""
    home = home_of(tenant, settings, None)
    return Migration(tenant.id, NO_RUN, Phase.PLANNED, home or NO_HOME, None, Status.PENDING)
