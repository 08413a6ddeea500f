"""The access of one tenant: credentials of a role for its own buckets, and those of the process for the shared buckets.

A session of the role reaches one bucket of the tenant and nothing else, whatever the code asks for. Of the shared buckets only
single keys are asked for, which the application's rows name.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Protocol

from rehouse.core.errors import StorageRefused
from rehouse.core.model import TenantId
from rehouse.s3.bulk.clock_and_credentials import Identity
from rehouse.s3.objects.access import Access
from rehouse.s3.session import Credentials, Session
from rehouse.s3.tenant_credentials import AHEAD_SECONDS, SECONDS, TenantCredentials

FRESH_SECONDS = SECONDS - 60
"""Credentials that live longer are not renewed: they were made less than a minute ago."""


class _Fetch(Protocol):
    def __call__(self, *, least_seconds: float = ...) -> Credentials: ...


class TenantIdentity(Identity):
    """The credentials of a tenant for one bucket, and the clock of the process."""

    most_url_seconds = SECONDS - AHEAD_SECONDS
    """Every process can sign for so long, however old its session is: also a grant that another process has just made."""

    def __init__(self, base: Identity, fetch: _Fetch) -> None:
        self._fetch = fetch
        self.now, self.learn = base.now, base.learn  # type: ignore[method-assign]

    def credentials(self) -> Credentials:
        """Return the credentials to sign with. Raises StorageRefused, StorageUnavailable."""
        return self._fetch()

    def renew(self) -> Credentials:
        """Return credentials that were made within the last minute."""
        return self._fetch(least_seconds=FRESH_SECONDS)


class TenantAccess(Access):
    """Signs requests to a tenant's `own` buckets with credentials of a role, and to `shared` buckets as `base` does."""

    def __init__(
        self,
        base: Access,
        roles: TenantCredentials,
        tenant_id: TenantId,
        *,
        own: Collection[str],
        shared: Collection[str],
    ) -> None:
        self.session, self.identity, self.is_aws = base.session, base.identity, base.is_aws
        self._shared = frozenset(shared)
        self._own = {bucket: TenantIdentity(base.identity, partial(roles.of, tenant_id, bucket)) for bucket in own}

    def identity_of(self, bucket: str) -> Identity:
        """Return whose credentials sign the requests to a bucket. Raises StorageRefused if it is not the tenant's."""
        if bucket in self._shared:
            return self.identity
        found = self._own.get(bucket)
        if found is None:
            raise StorageRefused(
                f"the bucket {bucket} is not the tenant's",
                hint="`rehouse audit` shows whose it is",
                code="AccessDenied",
            )
        return found

    def session_of(self, bucket: str) -> Session:
        """Return a session with the credentials for a bucket, as they are now."""
        identity = self.identity_of(bucket)
        return self.session if identity is self.identity else self.session.acting_as(identity.renew())
