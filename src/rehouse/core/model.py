"""The data types that all layers share, frozen.

Sizes are in bytes, times in UTC, ETags without quotes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rehouse.core.lifecycle import Phase, Status
from rehouse.core.tenant_state import TenantState

TenantId = int | str  # an integer, or the text of a uuid or another id


@dataclass(frozen=True, slots=True)
class Tenant:
    """A row of the application's tenants table.

    `home` is the present value of `aws_bucket_name`, which may be a shared bucket. `slug` is the tenant's address
    (core.addressing), `own_slug` the slug in its row.
    """

    id: TenantId
    slug: str
    name: str
    home: str | None
    is_active: bool
    own_slug: str | None = None

    @property
    def label(self) -> str:
        """The text for the name and the tags of its bucket: the row's slug, else the tenant's address."""
        return self.own_slug or self.slug


@dataclass(frozen=True, slots=True)
class Document:
    """A row of the application's documents table.

    `key_fault`: why the key in the row cannot be a key of S3. `key` is then only a text for display.
    """

    id: str
    tenant_id: TenantId | None
    name: str
    bucket: str | None
    key: str | None
    etag: str | None
    uploaded_at: datetime | None
    key_fault: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """Where an object is. `version` is set only to name one version."""

    bucket: str
    key: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as a listing or a HEAD describes it.

    `etag` without quotes, `size` in bytes. `storage_class` is the "class now" (core.archiving), which differs from S3's class
    for a restored object.
    """

    key: str
    etag: str
    size: int
    storage_class: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one object failed: the code of S3 or of rehouse, a sentence, and S3's request id if there is one."""

    code: str
    message: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class CopyTask:
    """One object to copy on the server's side.

    `source_etag` is the condition on the source. `replaces_etag` is the condition on the target: None means that the target must
    not exist (`If-None-Match: *`), else it must still have this ETag (`If-Match`). `only_guarded`: do not copy at all if the
    endpoint does not support the condition on the target.
    """

    document_id: str
    source: ObjectRef
    source_etag: str
    size: int
    storage_class: str
    target: ObjectRef
    replaces_etag: str | None = None
    only_guarded: bool = False


@dataclass(frozen=True, slots=True)
class CopyOutcome:
    """The result of a task: the ETag of the target, or the fault.

    `version` and `checksum` are set if S3 returned them. `attempts` counts requests. `is_guarded` is False if the endpoint did not
    support the condition on the target and the copy was made without it.
    """

    task: CopyTask
    etag: str | None = None
    version: str | None = None
    checksum: str | None = None
    fault: Fault | None = None
    attempts: int = 1
    is_guarded: bool = True


@dataclass(frozen=True, slots=True)
class Migration:
    """A tenant's row in `s3_migrations`: one per tenant, reused by every run.

    `run_id` is the run that owns it. `was_live`: the tenant was cut over once, so a client that read the home then may still
    write there. `state`: as the last run left it.
    """

    tenant_id: TenantId
    run_id: str
    phase: Phase
    home_bucket: str
    previous_home: str | None
    status: Status
    was_live: bool = False
    state: TenantState = TenantState.NOT_STARTED
