"""The application's rules: what the application must do while tenants move, under the real names of its tables and columns.

It reads only the settings, neither the database nor S3.
"""

from __future__ import annotations

from dataclasses import dataclass

from rehouse.config import Settings
from rehouse.core.durations import spell_duration
from rehouse.core.mapping import parse


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules, one or two sentences each, and the names in them: `columns` by setting, `shared_bucket` (None if not set)."""

    rules: tuple[str, ...]
    columns: dict[str, str]
    shared_bucket: str | None
    grace_days: float


def rules(settings: Settings) -> Rules:
    """Return the rules for these settings."""
    tenants, documents = settings.mapping.tenants, settings.mapping.documents
    home = f"{tenants.table}.{_name('aws_bucket_name', tenants.aws_bucket_name)}"
    bucket, key = _name("s3_bucket", documents.s3_bucket), documents.s3_key
    shared_bucket = next(iter(settings.shared_bucket), None)
    shared = shared_bucket or "the first shared bucket"
    told = (
        f"Read {bucket} and {key} from the row in {documents.table} for every download. Where {bucket} is NULL, the object is in "
        f"{shared}.",
        f"Upload into the bucket that {home} names, or into {shared} where it is NULL. Write {bucket} and {key} of the row.",
        f"Do not cache a bucket, a key or a presigned URL for more than {spell_duration(settings.grace)} (grace_days). If some "
        "live longer, raise grace_days before you migrate.",
        f"Write a new version under a new key, then update the row in {documents.table}. Or overwrite the object in place while "
        "you hold the row's lock (FOR UPDATE), from reading the row to the commit. Then no read fails or is stale.",
        "Other overwrites are not lost: those without the lock, and those through a presigned PUT that was granted earlier. "
        "They become visible after the next run of `rehouse migrate`. If both ends were written, rehouse keeps both versions and "
        "reports a conflict.",
    )
    columns = {
        "tenants.aws_bucket_name": home,
        "documents.s3_bucket": f"{documents.table}.{bucket}",
        "documents.s3_key": f"{documents.table}.{key}",
    }
    return Rules(told, columns, shared_bucket, settings.grace_days)


def _name(field: str, written: str) -> str:
    return parse(field, written).name
