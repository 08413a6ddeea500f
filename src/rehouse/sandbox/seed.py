"""Write the sample data room into a database and a bucket, which it creates.

For the sandbox and the tests only.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg

from rehouse.sandbox.data_room import data_room
from rehouse.sandbox.sample import SHARED_BUCKET, Sample, SampleObject, SampleRow
from rehouse.sandbox.schema import TenantIdType, create_application, create_older_tool, insert_older_rows

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PART_BYTES = 5 * 1024**2
_THREADS = 16


def lay_out(
    database_url: str,
    s3_client: S3Client,
    *,
    tenant_id: TenantIdType = "integer",
    older_tool: bool = False,
    shared_bucket: str = SHARED_BUCKET,
) -> Sample:
    """Create the application's tables, the shared bucket, the rows and the objects.

    Return the sample. The database must be empty. `older_tool` adds the tables, rows and trigger of an older migration tool,
    with one home that it created and one that it only recorded.
    """
    sample = data_room(shared_bucket, tenant_id, older_tool=older_tool)
    with psycopg.connect(database_url) as connection:
        create_application(connection, tenant_id)
        if older_tool:
            create_older_tool(connection, tenant_id)
        _insert(connection, sample, tenant_id)
        if older_tool:
            insert_older_rows(connection)
    for bucket in sorted({each.bucket for each in sample.objects}):
        s3_client.create_bucket(Bucket=bucket)
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda each: _upload(s3_client, each), sample.objects))
    return sample


def _insert(connection: psycopg.Connection[Any], sample: Sample, tenant_id: TenantIdType) -> None:
    ids = {tenant.slug: tenant.id for tenant in sample.tenants}
    columns = "id, name, slug, aws_bucket_name, is_active"
    tenants = ((each.id, each.name, each.slug, each.home, each.is_active) for each in sample.tenants)
    _copy(connection, f"COPY tenants ({columns}) FROM STDIN", tenants)
    if tenant_id == "integer":
        connection.execute("SELECT setval('tenants_id_seq', (SELECT max(id) FROM tenants))")
    columns = "id, tenant_id, original_name, filename, s3_bucket, s3_key, etag, mimetype, size, file_size, uploaded_at"
    columns += ", cloudinary_url"
    rows = (_document(row, ids.get(row.slug or "")) for row in sample.rows)
    _copy(connection, f"COPY documents ({columns}) FROM STDIN", rows)


def _document(row: SampleRow, tenant: int | str | None) -> tuple[object, ...]:
    elsewhere = None if row.key else f"https://res.cloudinary.com/demo/raw/{row.id}"
    pointer = (row.bucket, row.key, row.etag, row.mimetype)
    return (row.id, tenant, row.name, row.name[:100], *pointer, row.size, row.file_size, row.uploaded_at, elsewhere)


def _copy(connection: psycopg.Connection[Any], statement: str, rows: Iterable[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for row in rows:
            copy.write_row(row)


def _upload(client: S3Client, each: SampleObject) -> None:
    tags = urlencode(each.tags)
    options: Any = {**each.headers, "Metadata": dict(each.metadata), **({"Tagging": tags} if tags else {})}
    if len(each.body) <= _PART_BYTES:
        client.put_object(Bucket=each.bucket, Key=each.key, Body=each.body, **options)
        return
    upload = client.create_multipart_upload(Bucket=each.bucket, Key=each.key, **options)["UploadId"]
    place: Any = {"Bucket": each.bucket, "Key": each.key, "UploadId": upload}
    parts: Any = []
    for number, begin in enumerate(range(0, len(each.body), _PART_BYTES), 1):
        part = client.upload_part(**place, PartNumber=number, Body=each.body[begin : begin + _PART_BYTES])
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
