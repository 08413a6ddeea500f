"""Generate the sample data room as data: the companies, their documents, special cases and planted faults.

Pure: no clock, no randomness, no I/O. Every number below is the number of a document in the whole room. It determines what
varies between documents: ETags with and without quotes, wrong sizes, headers and tags.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from rehouse.sandbox.awkward_names import IDS, KEYS, NAMES
from rehouse.sandbox.content import TYPES, content, png
from rehouse.sandbox.sample import PlantedFault, Sample, SampleObject, SampleRow, SampleTenant
from rehouse.sandbox.schema import TenantIdType

COMPANIES = (
    # slug, name, ordinary documents, rows without a key, is active
    ("default-org", "Default Organization", 70, 5, True),
    ("acme-corp", "Acme Corp.", 110, 3, True),
    ("globex", "Globex – Überseehandel", 70, 1, True),
    ("umbrella", 'Umbrella "Health" & Co', 60, 0, True),
    ("Initech_GmbH", "Initech GmbH", 45, 2, True),
    ("wayne-enterprises-research-and-development-division", "Wayne Enterprises", 40, 0, True),
    ("hooli", "Hooli (left in 2024)", 30, 0, False),
    ("vandelay", "Vandelay Industries", 0, 0, True),
)
_TITLES = ("Board Report", "Term Sheet", "Lease", "Cap Table", "Audit Letter", "Budget", "Floor Plan", "NDA")
_EXTENSIONS = ("pdf", "docx", "png", "txt", "csv")
_BEGIN = datetime(2024, 1, 8, 9, 0, tzinfo=UTC)
_NAMESPACE = uuid.UUID("6f1c9a52-0d0e-4b6f-9a3e-1f0a5d1c7b10")
LARGE_PIXELS = 1340
"""The side of the only picture above 5 MiB, which is uploaded in parts, so that its ETag is not an MD5."""


def data_room(shared_bucket: str, tenant_id: TenantIdType, *, older_tool: bool = False) -> Sample:
    """Return the sample in `shared_bucket`.

    `older_tool` adds two homes that an older migration tool chose, one of them with documents.
    """
    room = _Room(shared_bucket, tenant_id)
    for slug, _, ordinary, without_key, _ in COMPANIES:
        for number in range(ordinary):
            title = _TITLES[number % len(_TITLES)]
            room.document(slug, f"{title} {number + 1}.{_EXTENSIONS[number % len(_EXTENSIONS)]}")
        for number in range(without_key):
            room.row(slug, f"Scan {number + 1}.pdf", None, None)
    _plant_oddities(room)
    _plant_faults(room)
    sample = room.sample()
    return _add_older_tool_homes(sample) if older_tool else sample


class _Room:
    """The data room while it is being generated."""

    def __init__(self, bucket: str, tenant_id: TenantIdType) -> None:
        self.bucket = bucket
        self.tenants = [
            SampleTenant(
                id=number if tenant_id == "integer" else str(uuid.uuid5(_NAMESPACE, slug)),
                slug=slug,
                name=name,
                home=bucket if slug == "default-org" else None,
                is_active=is_active,
            )
            for number, (slug, name, _, _, is_active) in enumerate(COMPANIES, 1)
        ]
        self.rows: list[SampleRow] = []
        self.objects: dict[str, SampleObject] = {}
        self.faults: list[PlantedFault] = []

    def document(
        self,
        slug: str | None,
        name: str,
        *,
        key: str | None = None,
        document_id: str | None = None,
        body: bytes | None = None,
    ) -> SampleRow:
        """Add an object and its row.

        Arguments that are not given follow from the name and the document's number.
        """
        number = len(self.rows)
        extension = name.rpartition(".")[2]
        if body is None:
            body = content(extension, name, number, paragraphs=3 + number % 9)
        key = key or f"uploads/{1_704_704_400_000 + number * 7_919_317 % 10**9}-{_file_name(name)}"
        self.add_object(key, name, number, body)
        return self.row(slug, name, key, self.objects[key], document_id=document_id)

    def add_object(self, key: str, name: str, number: int, body: bytes) -> None:
        """Add an object; its headers, metadata and tags follow from `number`."""
        headers = {"ContentType": TYPES.get(name.rpartition(".")[2], "application/octet-stream")}
        if number % 2 == 0:
            headers["ContentDisposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        if number % 5 == 2:
            headers["CacheControl"] = "private, max-age=3600"
        if number % 6 == 0:
            headers["ContentLanguage"] = "de"
        if number % 17 == 3:
            headers["StorageClass"] = "STANDARD_IA"
        metadata = {"uploaded-by": f"user-{number % 7}", "original-name": quote(name[:80], safe="")}
        tags = {"department": ("legal", "finance", "board")[number % 3], "retention": "7 years"}
        self.objects[key] = SampleObject(
            bucket=self.bucket,
            key=key,
            body=body,
            headers=headers,
            metadata=metadata if number % 3 == 0 else {},
            tags=tags if number % 4 == 1 else {},
        )

    def row(
        self,
        slug: str | None,
        name: str,
        key: str | None,
        shown: SampleObject | None,
        *,
        document_id: str | None = None,
    ) -> SampleRow:
        """Add a row that points to `key`.

        It describes `shown`, rightly or wrongly, depending on its number.
        """
        number = len(self.rows)
        size = len(shown.body) if shown else 4096
        row = SampleRow(
            id=document_id or str(uuid.uuid5(_NAMESPACE, f"document {number}")),
            slug=slug,
            name=name,
            bucket=None if key is None or number % 5 == 0 else self.bucket,
            key=key,
            etag=_claimed_etag(number, shown),
            mimetype=TYPES.get(name.rpartition(".")[2], "application/octet-stream"),
            size=0 if number % 11 == 0 else size + 17 * (number % 13 == 0),
            file_size=None if number % 7 == 1 else 0 if number % 7 == 2 else size,
            uploaded_at=None if number % 29 == 0 else _BEGIN + timedelta(hours=number),
        )
        self.rows.append(row)
        return row

    def fault(self, row: SampleRow, reason: str) -> None:
        """Record that `row` cannot be moved."""
        assert row.slug is not None
        self.faults.append(PlantedFault(row.slug, row.id, reason))

    def sample(self) -> Sample:
        """Return the finished data room, frozen."""
        pointed = {row.key for row in self.rows}
        orphans = tuple(sorted(key for key in self.objects if key not in pointed))
        tenants, rows, objects = tuple(self.tenants), tuple(self.rows), tuple(self.objects.values())
        return Sample(self.bucket, tenants, rows, objects, tuple(self.faults), orphans)


def _plant_oddities(room: _Room) -> None:
    """Add special cases, which must be moved, and rows and objects that belong to no tenant, which must not."""
    for name in NAMES:
        room.document("default-org", name)
    for key in KEYS:
        room.document("acme-corp", "Odd key.txt", key=key)
    for document_id in IDS:
        room.document("umbrella", "Odd id.pdf", document_id=document_id)
    for name in ("empty.txt", "empty too.pdf"):
        room.document("globex", name, body=b"")
    room.document("umbrella", "Site Plan.png", key="uploads/site-plan.png", body=png(0, LARGE_PIXELS))
    for slug in ("default-org", "umbrella"):
        first = room.document(slug, "One file, two rows.pdf")
        room.row(slug, "One file, two rows (again).pdf", first.key, None)
    for number in range(3):
        room.document(None, f"Before tenants {number}.txt")
    room.row(None, "Before tenants, elsewhere.txt", None, None)
    for number, key in enumerate(("temp/abandoned.pdf", "uploads/orphan 1.txt", "uploads/orphan-2.png", "exports/")):
        room.add_object(key, key, number, b"" if key.endswith("/") else f"orphan {number}".encode())


def _plant_faults(room: _Room) -> None:
    """Add, for two tenants, a row whose object is missing.

    Add an object to which rows of two tenants point.
    """
    for slug in ("acme-corp", "Initech_GmbH"):
        room.fault(room.row(slug, "Lost.pdf", f"uploads/lost-{slug}.pdf", None), "missing_object")
    theirs = room.document("globex", "Whose is it.docx", key="uploads/whose-is-it.docx")
    ours = room.row("acme-corp", "Whose is it.docx", theirs.key, None)
    room.rows[-1] = ours = replace(ours, bucket=None if theirs.bucket else room.bucket)
    for row in (theirs, ours):
        room.fault(row, "other_tenants_object")


def _add_older_tool_homes(sample: Sample) -> Sample:
    """Add the homes that an older tool chose for Globex and Umbrella.

    Globex's home exists without protection and has three documents whose sources are deleted. Umbrella's was never created.
    """
    suffix = hashlib.sha256(sample.shared_bucket.encode()).hexdigest()[:8]
    homes = {slug: f"dataroom-saas-{slug}-{suffix}" for slug in ("globex", "umbrella")}
    keys = {row.key: f"documents/{row.id}/{_file_name(row.name)}" for row in sample.rows_of("globex")[:3]}
    return replace(
        sample,
        tenants=tuple(replace(each, home=homes.get(each.slug, each.home)) for each in sample.tenants),
        rows=tuple(
            replace(row, bucket=homes["globex"], key=keys[row.key]) if row.key in keys else row for row in sample.rows
        ),
        objects=tuple(
            replace(each, bucket=homes["globex"], key=keys[each.key]) if each.key in keys else each
            for each in sample.objects
        ),
    )


def _claimed_etag(number: int, shown: SampleObject | None) -> str | None:
    if shown is None or number % 4 == 2:
        return None
    etag = "0" * 32 if number % 23 == 0 else shown.etag
    return f'"{etag}"' if number % 4 == 0 else etag


def _file_name(name: str) -> str:
    return "".join(char if char.isascii() and (char.isalnum() or char in ".-") else "-" for char in name)[:100]
