"""The types of the sample data room: tenants, rows, objects and planted faults.

A sample is frozen and deterministic: the same arguments give the same sample on every machine. So the demo and the tests can
compare the result of a migration with the expected one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

SHARED_BUCKET = "dataroom-v2-demo-company-documents"


@dataclass(frozen=True, slots=True)
class SampleTenant:
    """A row of `tenants`. `home` is its `aws_bucket_name`."""

    id: int | str
    slug: str
    name: str
    home: str | None = None
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row of `documents`.

    `slug` is None for a row without a tenant. Sizes are what the row says, in bytes.
    """

    id: str
    slug: str | None
    name: str
    bucket: str | None
    key: str | None
    etag: str | None
    mimetype: str
    size: int
    file_size: int | None
    uploaded_at: datetime | None


@dataclass(frozen=True, slots=True)
class SampleObject:
    """An object with everything that a copy must keep.

    `headers` has the names of boto3's put_object arguments.
    """

    bucket: str
    key: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def etag(self) -> str:
        """The hexadecimal MD5 of the body, which is the ETag of an upload in one part."""
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """A document that cannot be moved, and the code of the reason."""

    slug: str
    document_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a plan must find for one tenant before a migration, in numbers of rows.

    `documents` is the sum of the others: rows without a key, rows already at home, planted faults, and documents to move.
    """

    documents: int
    without_key: int
    at_home: int
    faults: int
    to_move: int


@dataclass(frozen=True)
class Sample:
    """The whole sample. `orphans` are the keys in the shared bucket that no row points to."""

    shared_bucket: str
    tenants: tuple[SampleTenant, ...]
    rows: tuple[SampleRow, ...] = field(repr=False)
    objects: tuple[SampleObject, ...] = field(repr=False)
    faults: tuple[PlantedFault, ...]
    orphans: tuple[str, ...]

    @cached_property
    def expected(self) -> Mapping[str, Expected]:
        """Slug → what a plan must find for the tenant."""
        return {tenant.slug: self._expectation_of(tenant) for tenant in self.tenants}

    @property
    def unassigned(self) -> int:
        """The number of rows without a tenant, which are never moved."""
        return sum(row.slug is None for row in self.rows)

    def rows_of(self, slug: str) -> tuple[SampleRow, ...]:
        """Return the rows of one tenant."""
        return tuple(row for row in self.rows if row.slug == slug)

    def _expectation_of(self, tenant: SampleTenant) -> Expected:
        rows = self.rows_of(tenant.slug)
        faulty = {fault.document_id for fault in self.faults if fault.slug == tenant.slug}
        home = None if tenant.home == self.shared_bucket else tenant.home
        at_home = [row for row in rows if row.key and home and row.bucket == home]
        moving = [row for row in rows if row.key and row not in at_home and row.id not in faulty]
        return Expected(
            documents=len(rows),
            without_key=sum(row.key is None for row in rows),
            at_home=len(at_home),
            faults=len(faulty),
            to_move=len(moving),
        )
