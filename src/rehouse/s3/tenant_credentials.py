"""Credentials of one tenant: a role is assumed with a session policy that names exactly the tenant's bucket.

They are kept until shortly before they expire. However many threads ask for a tenant's at the same time, the role is assumed once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rehouse.core.errors import RehouseError, StorageRefused
from rehouse.core.model import TenantId
from rehouse.core.permissions.session_policy import as_text, session_name, session_policy
from rehouse.s3.faults import translate_errors
from rehouse.s3.session import Credentials, Session

if TYPE_CHECKING:
    from mypy_boto3_sts.type_defs import AssumeRoleResponseTypeDef

log = logging.getLogger(__name__)

SECONDS = 3600
"""How long a session lasts: the longest that every role allows."""
AHEAD_SECONDS = 600
"""So long before the end, one thread fetches new credentials while the others use the present ones."""
LEAST_SECONDS = 60
MOST_KEPT = 10_000
HINT = (
    "set REHOUSE_ROLE_ARN to a role whose trust policy lets these credentials do sts:AssumeRole and sts:TagSession, and allow "
    "both on the role"
)


@dataclass
class _Entry:
    """What is known for a tenant and a bucket, and the lock of the thread that fetches it."""

    credentials: Credentials | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class TenantCredentials:
    """Gives out credentials of one tenant each, from a role. Safe for threads; a child after a fork makes its own."""

    def __init__(self, session: Session, role_arn: str, *, clock: Callable[[], float] = time.time) -> None:
        self._session, self._role = session, role_arn
        self._sts = session.client("sts") if session.offers("sts") else None
        self._clock = clock
        self._entries: dict[tuple[TenantId, str], _Entry] = {}

    def of(self, tenant_id: TenantId, bucket: str, *, least_seconds: float = LEAST_SECONDS) -> Credentials:
        """Return credentials that reach only this bucket and live for `least_seconds` at least.

        Raises StorageRefused if the endpoint has no STS or the role cannot be assumed, StorageUnavailable if STS kept failing.
        """
        if len(self._entries) > MOST_KEPT:
            self._entries = {}
        entry = self._entries.setdefault((tenant_id, bucket), _Entry())
        found = entry.credentials
        if found is None or self._seconds_left(found) < least_seconds:
            with entry.lock:
                found = entry.credentials
                if found is None or self._seconds_left(found) < least_seconds:
                    found = entry.credentials = self._assume(tenant_id, bucket)
            return found
        if self._seconds_left(found) < AHEAD_SECONDS and entry.lock.acquire(blocking=False):
            try:
                found = entry.credentials = self._assume(tenant_id, bucket)
            except RehouseError as error:
                log.warning("the credentials of a tenant could not be renewed ahead of time: %s", error.message)
            finally:
                entry.lock.release()
        return found

    def _seconds_left(self, credentials: Credentials) -> float:
        return (credentials.expires_at or 0) - self._clock()

    def packed_percent(self, tenant_id: TenantId, bucket: str) -> int | None:
        """Assume the role once; return how much of STS's limit the session policy takes, None if STS does not tell.

        Raises StorageRefused, StorageUnavailable.
        """
        told = self._ask(tenant_id, bucket).get("PackedPolicySize")
        return None if told is None else int(told)

    def _assume(self, tenant_id: TenantId, bucket: str) -> Credentials:
        reply = self._ask(tenant_id, bucket)["Credentials"]
        expires_at = reply["Expiration"].timestamp()
        return Credentials(reply["AccessKeyId"], reply["SecretAccessKey"], reply["SessionToken"], expires_at)

    def _ask(self, tenant_id: TenantId, bucket: str) -> AssumeRoleResponseTypeDef:
        if self._sts is None:
            raise StorageRefused(
                "this endpoint has no STS", hint="set AWS_ENDPOINT_URL_STS if the server has one", code="NoSTS"
            )
        settings = self._session.settings
        key = None if settings.encryption == "AES256" else settings.encryption
        name = session_name(tenant_id)
        try:
            with translate_errors(f"the role {self._role}"):
                return self._sts.assume_role(
                    RoleArn=self._role,
                    RoleSessionName=name,
                    Policy=as_text(session_policy(bucket, region=self._session.region, encryption=key)),
                    DurationSeconds=SECONDS,
                    Tags=[{"Key": "rehouse-tenant", "Value": name}],
                )
        except StorageRefused as error:
            raise StorageRefused(error.message, hint=HINT, code=error.code, subject="role_arn") from None
