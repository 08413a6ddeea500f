"""What the sample data room is made of, as data: tenants, rows, objects, and what was planted to go wrong.

Frozen and deterministic: the same arguments give the same sample on every machine, so that the demo and the tests can
compare what a migration did with what it had to do.
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
    """A row of `documents`; `slug` None is a row older than multi-tenancy. Sizes are what the row claims, in bytes."""

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
    """An object with everything that a copy has to keep. `headers` are named as boto3's put_object names them."""

    bucket: str
    key: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str]
    metadata: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def etag(self) -> str:
        """The MD5 of the body in hex: the ETag of an upload in one part."""
        return hashlib.md5(self.body, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class PlantedFault:
    """A document that cannot be moved as it stands, and the code of the reason."""

    slug: str
    document_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be found of one tenant before a migration: numbers of rows, and the bytes of the objects to move.

    `documents` is the sum of the others: without a key, at home already, planted faults, and what is to be moved.
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
        """For each tenant's slug what a plan has to find."""
        return {tenant.slug: self._expected(tenant) for tenant in self.tenants}

    @property
    def unassigned(self) -> int:
        """The number of rows without a tenant: nobody's, never moved."""
        return sum(row.slug is None for row in self.rows)

    def rows_of(self, slug: str) -> tuple[SampleRow, ...]:
        """Return the rows of one tenant."""
        return tuple(row for row in self.rows if row.slug == slug)

    def _expected(self, tenant: SampleTenant) -> Expected:
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
