"""What the methods of a handle work with: one tenant, its rows and buckets, and the connections to reach them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rehouse.core.errors import ForeignPointer, InactiveTenant
from rehouse.core.model import ObjectRef, TenantId
from rehouse.core.routing import Buckets, object_of, require_object
from rehouse.ledger.application_rows import ApplicationRows, DocumentRow, TenantRow, no_such_document
from rehouse.ledger.deletions import Deletions
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.files import Files
from rehouse.ledger.quotas import Quotas
from rehouse.ledger.uploads import Uploads
from rehouse.runtime.connections import Connections
from rehouse.runtime.values import DocumentInfo
from rehouse.s3.objects.client import ObjectClient

if TYPE_CHECKING:
    from rehouse.runtime.storage import TenantStorage


@dataclass(frozen=True, slots=True)
class KnownTenant:
    """What is remembered of a tenant `until` then (monotonic): its row and its buckets."""

    row: TenantRow
    buckets: Buckets
    until: float

    @property
    def label(self) -> str:
        """The tenant's name in messages."""
        return self.row.slug or f"id:{self.row.id}"


@dataclass(slots=True)
class Ledger:
    """The statements over one connection: on rows, grants and deletions, and on the limits of plans."""

    rows: ApplicationRows
    uploads: Uploads

    @property
    def deletions(self) -> Deletions:
        """The objects that are to be deleted."""
        return self.uploads.deletions

    @property
    def files(self) -> Files:
        """The documents by their keys."""
        return Files(self.rows, self.uploads)

    @property
    def quotas(self) -> Quotas:
        """The limits of plans."""
        return self.uploads.quotas


@dataclass(slots=True)
class Scope:
    """One tenant, under the name that the application gave it, over one set of connections."""

    storage: TenantStorage
    named: str | int
    connections: Connections

    @property
    def objects(self) -> ObjectClient:
        """The client for objects, with credentials of this tenant if the storage has a role."""
        return self.storage.objects if self.storage.roles is None else self.storage.client_of(self.tenant())

    def url_seconds(self, bucket: str, wanted: int) -> int:
        """Return for how long a URL can be valid, at most `wanted` seconds: the credentials of a tenant live an hour."""
        return wanted if self.storage.roles is None else self.objects.presigner.seconds_for(bucket, wanted)

    @property
    def tenant_id(self) -> TenantId:
        """The tenant's id."""
        return self.tenant().row.id

    def tenant(self, *, anew: bool = False) -> KnownTenant:
        """Return what is known of the tenant, read `anew` or if it is too old.

        Raises UnknownTenant, InactiveTenant, and ForeignPointer if its row names a bucket that a migration made for another tenant.
        """
        known = None if anew else self.storage.recall(self.named)
        if known is None:
            with translate_errors(), self.connections.lend(self.named) as connection:
                known = self.storage.learn(self.named, self.storage.ledger(connection).rows)
        if not known.row.is_active:
            raise InactiveTenant(
                f"the tenant {known.label} is not active", hint="activate its row first", subject=known.label
            )
        if known.row.is_contested:
            raise ForeignPointer(
                f"the row of the tenant {known.label} names the bucket {known.row.home!r}, which is another tenant's",
                hint="correct its aws_bucket_name; `rehouse audit` shows whose the bucket is",
                subject=known.label,
            )
        return known

    @contextmanager
    def ledger(self, *, durably: bool = False) -> Iterator[Ledger]:
        """Lend the statements, on the application's connection if it passed one.

        With `durably`, what is done stays whatever the application does with a transaction that it has open.
        """
        with self.connections.lend(self.tenant_id, durably=durably) as connection:
            yield self.storage.ledger(connection)

    def document(self, document_id: str) -> DocumentInfo:
        """Return a document's row. Raises NoSuchDocument."""
        tenant_id = self.tenant_id
        with translate_errors(), self.ledger() as ledger:
            row = ledger.rows.read_document(tenant_id, document_id)
        if row is None:
            raise no_such_document(document_id, tenant_id)
        return info_of(row)

    def place_of(self, document: DocumentInfo) -> ObjectRef:
        """Return where a document's object is. Raises NoSuchDocument if it has none, ForeignPointer if it is not the tenant's.

        A row that names a bucket that is not known to be the tenant's is judged once more, by the tenant's row as it is now.
        """
        known = self.tenant()
        if document.tenant_id != known.row.id:
            raise no_such_document(document.document_id, known.row.id)
        place = None if document.key_fault else object_of(document.bucket, document.key, known.buckets)
        if place is not None:
            return place
        known = self.tenant(anew=True)
        return require_object(
            document.bucket,
            document.key,
            known.buckets,
            document_id=document.document_id,
            tenant=known.label,
            key_fault=document.key_fault,
        )


def info_of(row: DocumentRow) -> DocumentInfo:
    """Return a row as the application sees it."""
    etag = row.etag.strip('"') if row.etag else None
    return DocumentInfo(
        row.document_id, row.tenant_id, row.name, row.bucket, row.key, row.bytes or None, etag, row.key_fault
    )
