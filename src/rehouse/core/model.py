"""The nouns, frozen. Bytes are integers, times are UTC, ETags carry no quotes. No decisions here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rehouse.core.lifecycle import Phase, Status

TenantId = int | str  # integer (serial) or uuid, by installation; a uuid travels as its text


@dataclass(frozen=True, slots=True)
class Tenant:
    """A row of the application's tenants table. `home` is `aws_bucket_name` as it stands, perhaps a shared bucket.

    `slug` is what commands call the tenant (core.addressing), `own_slug` what its row says.
    """

    id: TenantId
    slug: str
    name: str
    home: str | None
    is_active: bool
    own_slug: str | None = None

    @property
    def label(self) -> str:
        """What the name and the tags of its bucket say: the row's slug, or what commands call it."""
        return self.own_slug or self.slug


@dataclass(frozen=True, slots=True)
class Document:
    """A row of the application's documents table.

    `key_fault`: why its key, as the row has it, can be none, where `key` is only what is shown of it.
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
    """Where an object is. `version` only where one version is meant."""

    bucket: str
    key: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class ListedObject:
    """What a listing or a HEAD says of an object; `etag` without quotes, `size` in bytes.

    `storage_class` is the class as it is now: an archived object that was restored has another (core.archiving).
    """

    key: str
    etag: str
    size: int
    storage_class: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one object failed: S3's (or our) code, a sentence, and S3's request id where there is one."""

    code: str
    message: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class CopyTask:
    """One object to copy on the server's side. Strings and integers only: it crosses processes.

    `source_etag` is the condition on the source. `replaces_etag` is the condition on the target: None means that the
    target must not exist (`If-None-Match: *`), else the ETag that it must still have (`If-Match`). `only_guarded`: an endpoint that
    would not take this condition is not to copy at all.
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
    """What became of a task: the target's ETag (and version, checksum where told), or the fault. `attempts` counts requests.

    `is_guarded` is False where the endpoint would not take the condition on the target and the copy was made without it.
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
    """A tenant's row in `s3_migrations`: one a tenant, used again by every run. `run_id` is the run that owns it.

    `was_live`: its home was switched to the home bucket once, so whoever read that may still write there.
    """

    tenant_id: TenantId
    run_id: str
    phase: Phase
    home_bucket: str
    previous_home: str | None
    status: Status
    was_live: bool = False
