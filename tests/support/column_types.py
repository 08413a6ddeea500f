"""The columns and types that docs/compatibility.md tells of, and what can be said of each."""

from __future__ import annotations

NUMBERS = ("smallint", "integer", "bigint", "numeric", "numeric(12,2)", "double precision", "real", "text")
TIMES = ("timestamptz", "timestamp", "date", "text", "bigint")
TYPES: dict[str, tuple[str, ...]] = {
    "documents.id": ("text", "varchar(255)", "char(36)", "uuid", "bigint", "integer", "name", "bytea"),
    "documents.tenant_id": ("smallint", "integer", "bigint", "text", "varchar(40)", "uuid"),
    "documents.original_name": ("text", "varchar(500)", "char(40)", "name", "jsonb", "bytea"),
    "documents.s3_bucket": ("text", "varchar(255)", "varchar(63)", "varchar(12)", "char(63)", "name", "jsonb"),
    "documents.s3_key": ("text", "varchar(1000)", "varchar(20)", "char(200)", "jsonb", "bytea"),
    "documents.etag": ("text", "varchar(40)", "varchar(32)", "varchar(20)", "char(32)", "char(40)", "uuid", "bytea"),
    "documents.size": NUMBERS,
    "documents.file_size": NUMBERS,
    "documents.uploaded_at": TIMES,
    "tenants.slug": ("text", "varchar(255)", "char(20)", "name", "bigint"),
    "tenants.name": ("text", "varchar(255)", "jsonb"),
    "tenants.aws_bucket_name": ("text", "varchar(63)", "varchar(12)", "char(63)", "jsonb"),
    "tenants.is_active": ("boolean", "smallint", "integer", "text"),
}
WORKS = "works"
REFUSED = "refused"
TRIED = "refused by the trial before the home is switched"
