"""What the methods of the application's storage take and return, frozen.

Sizes are in bytes, times in UTC, ETags without quotes. None of these types holds a credential. A grant's URLs carry signatures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from rehouse.core.errors import Refused
from rehouse.core.model import ObjectRef, TenantId
from rehouse.core.upload_requests import Purpose


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A document's row: where its object is, and what the row says of it.

    `bucket` and `key` are None for a document without a file: it was deleted, or its upload has not arrived. A NULL bucket beside a
    key means the first shared bucket. `size` is None where the row has none. `key_fault`: why S3 cannot have the key.
    """

    document_id: str
    tenant_id: TenantId
    name: str
    bucket: str | None
    key: str | None
    size: int | None
    etag: str | None
    key_fault: str | None = field(default=None, repr=False)

    @property
    def has_file(self) -> bool:
        """Whether the document has an object in S3."""
        return self.key is not None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """An object that was stored for a document: what the row says of it from now on.

    `checksum` is S3's own, as `ALGORITHM:base64`, or None where the server tells none. `version` is None in a bucket without
    versioning.
    """

    document_id: str
    tenant_id: TenantId
    name: str
    bucket: str
    key: str
    size: int
    content_type: str
    etag: str
    version: str | None
    checksum: str | None

    @property
    def ref(self) -> ObjectRef:
        """Where the object is."""
        return ObjectRef(self.bucket, self.key, self.version)


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """A version of a document's object that its bucket keeps. `is_current`: the document's row points to it."""

    bucket: str
    key: str
    version: str
    etag: str
    size: int
    modified_at: datetime
    is_current: bool


@dataclass(frozen=True, slots=True)
class FileState:
    """What S3 knows of a file: its size, type, ETag, and when it was stored."""

    key: str
    size: int
    content_type: str
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant uses, and what its plan allows.

    `reserved_documents` and `reserved_bytes` belong to uploads that were granted and have not ended. A limit is None where the plan
    has none.
    """

    documents: int
    bytes: int
    reserved_documents: int
    reserved_bytes: int
    max_documents: int | None
    max_bytes: int | None


@dataclass(frozen=True, slots=True)
class PartGrant:
    """One part of a multipart upload: its number, from 1, its exact length, and the URL to PUT it to."""

    number: int
    length: int
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """Leave to upload one object, once: exactly this size, type and checksum, until `expires_at`.

    A small object has `url`: PUT it with these `headers`. A large one has `parts`: PUT each slice of the file to its part's URL, in
    any order and as often as needed. `list_parts_url` (GET) names the parts that arrived, `abort_url` (DELETE) gives the upload up.
    With the method POST send a form to `url`: these `fields` in their order, and last the field `file`. `key` and `upload_id`:
    where S3 keeps the upload until it is confirmed.
    """

    grant_id: str
    size: int
    content_type: str
    expires_at: datetime
    method: str = "PUT"
    url: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    parts: tuple[PartGrant, ...] = ()
    list_parts_url: str | None = field(default=None, repr=False)
    abort_url: str | None = field(default=None, repr=False)
    key: str = ""
    upload_id: str | None = None

    def to_json(self) -> str:
        """Return the grant as JSON for the browser."""
        told = asdict(self) | {"expires_at": self.expires_at.isoformat()}
        return json.dumps(told, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse what `to_json` returned. Raises Refused if it is something else.

        `confirm_upload` trusts nothing of it but the `grant_id`.
        """
        try:
            told = json.loads(text)
            parts = tuple(PartGrant(**part) for part in told.pop("parts"))
            return cls(**told | {"parts": parts, "expires_at": datetime.fromisoformat(told["expires_at"])})
        except (ValueError, TypeError, KeyError, AttributeError):
            raise Refused(
                "this is not the JSON of an upload grant",
                hint="send back what create_upload(…).to_json() returned",
                subject="grant",
            ) from None


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One request of a grant, signed: what it is for, and the `url` and `headers` to send it with.

    `url` is None for the purposes `create` and `complete`: the upload was begun when it was granted, and `confirm_upload` completes
    it.
    """

    purpose: Purpose
    key: str
    upload_id: str | None
    url: str | None = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallRecord:
    """What one call did, for `on_call`. `kind` is the method's name; a read through `open` ends when the file is closed.

    `requests` counts requests to S3 with their retries, `bytes_in` and `bytes_out` the bytes of objects that came from S3 and went
    there. `failed`: the call raised an error.
    """

    tenant_id: TenantId
    kind: str
    requests: int
    bytes_in: int
    bytes_out: int
    failed: bool


OnCall = Callable[[CallRecord], Any]
OnCommit = Callable[[StoredDocument], Any]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed, or with `dry_run` would remove, and what it has to leave.

    `expired_grants` were never confirmed; `objects` were removed in S3, of deleted and overwritten documents and of these grants.
    `failed` names what S3 refused, with the reason: the next sweep tries again.
    """

    expired_grants: int
    objects: int
    failed: tuple[str, ...] = ()
