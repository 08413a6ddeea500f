"""The independent check: what was there before a migration, what has to be there after it, with boto3 and psycopg alone.

Nothing of rehouse is imported or believed here. `snapshot` is taken before; from it alone follows which documents move.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
from botocore.exceptions import ClientError

HEADERS = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Metadata")
NOT_OURS = ("s3_bucket", "s3_key", "etag", "file_size", "s3_version_id", "s3_checksum", "s3_migrated_at")
"""Columns of a document that a migration may write; every other one stays as it is."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """The tenants and documents by id, and the shared bucket's objects by key with everything that makes them up."""

    shared: str
    tenants: dict[Any, Row]
    documents: dict[str, Row]
    objects: dict[str, Row]
    versions: list[tuple[Any, ...]]


def snapshot(url: str, client: Any, shared: str) -> Snapshot:
    """Return everything as it is now."""
    with psycopg.connect(url) as connection:
        tenants = {row["id"]: row for row in table(connection, "tenants")}
        documents = {row["id"]: row for row in table(connection, "documents")}
    return Snapshot(shared, tenants, documents, objects_of(client, shared), versions_of(client, shared))


def table(connection: psycopg.Connection[Any], name: str) -> Iterator[Row]:
    """Yield the rows of a table as dictionaries."""
    cursor = connection.execute(f"SELECT * FROM {name}".encode())
    names = [column.name for column in cursor.description or ()]
    for row in cursor.fetchall():
        yield dict(zip(names, row, strict=True))


def objects_of(client: Any, bucket: str) -> dict[str, Row]:
    """Return every object of a bucket by key: bytes (as a digest), headers, metadata, tags, time."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    with ThreadPoolExecutor(8) as threads:
        return dict(zip(keys, threads.map(lambda key: read(client, bucket, key), keys), strict=True))


def read(client: Any, bucket: str, key: str) -> Row:
    """Return one object: its content under "content", what belongs to this copy alone beside it."""
    answer = client.get_object(Bucket=bucket, Key=key)
    body = answer["Body"].read()
    tags = client.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    content = {name: answer.get(name) for name in HEADERS}
    content["bytes"] = (len(body), hashlib.sha256(body).hexdigest())
    content["tags"] = sorted((tag["Key"], tag["Value"]) for tag in tags)
    content["class"] = answer.get("StorageClass", "STANDARD")
    return {"content": content, "etag": answer["ETag"], "modified": answer["LastModified"], "size": len(body)}


def versions_of(client: Any, bucket: str) -> list[tuple[Any, ...]]:
    """Return every version and delete marker of a bucket."""
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket)
    found = [each for page in pages for kind in ("Versions", "DeleteMarkers") for each in page.get(kind, [])]
    return sorted((each["Key"], each["VersionId"], each.get("ETag", ""), each["LastModified"]) for each in found)


def movable(before: Snapshot) -> dict[str, str]:
    """Return document id → source key of what has to move: active tenants' rows whose object is there and theirs alone."""
    owners = defaultdict(set)
    for row in before.documents.values():
        if row["tenant_id"] is not None and row["s3_bucket"] in (None, before.shared):
            owners[row["s3_key"]].add(row["tenant_id"])
    return {
        row["id"]: row["s3_key"]
        for row in before.documents.values()
        if row["tenant_id"] in before.tenants
        and before.tenants[row["tenant_id"]]["is_active"]
        and row["s3_bucket"] in (None, before.shared)
        and row["s3_key"] in before.objects
        and len(owners[row["s3_key"]]) == 1
    }


@dataclass(frozen=True)
class Outcome:
    """The room after a migration: the same as before, and the objects of every active tenant's home by bucket and key."""

    now: Snapshot
    homes: dict[Any, str]
    stored: dict[str, dict[str, Row]]


def outcome(url: str, client: Any, shared: str) -> Outcome:
    """Return the room as it is now; raise AssertionError if an active tenant has no bucket of its own."""
    now = snapshot(url, client, shared)
    homes = {tenant["id"]: tenant["aws_bucket_name"] for tenant in now.tenants.values() if tenant["is_active"]}
    assert None not in homes.values(), "an active tenant has no home"
    assert shared not in homes.values(), "the shared bucket is somebody's home"
    assert len(set(homes.values())) == len(homes), "two tenants have one home"
    return Outcome(now, homes, {home: objects_of(client, home) for home in homes.values()})


def check(before: Snapshot, after: Outcome) -> dict[str, int]:
    """Hold the room after a migration against the one before; return tenant's slug → documents moved."""
    now, homes = after.now, after.homes
    assert now.versions == before.versions, "the shared bucket was touched"
    assert now.objects == before.objects, "an object of the shared bucket is not what it was"
    assert now.documents.keys() == before.documents.keys(), "rows came or went"
    moved: dict[str, int] = dict.fromkeys((tenant["slug"] for tenant in now.tenants.values()), 0)
    wanted = movable(before)
    for row_id, row in now.documents.items():
        _check_other_columns(before.documents[row_id], row)
        if row_id in wanted:
            home = homes[row["tenant_id"]]
            assert row["s3_bucket"] == home, f"{row_id} points into {row['s3_bucket']}, not into {home}"
            _check_object(before.objects[wanted[row_id]], after.stored[home].get(row["s3_key"]), row)
            moved[now.tenants[row["tenant_id"]]["slug"]] += 1
        else:
            _check_stayed(before, before.documents[row_id], row)
    _check_nothing_strange(now, homes, after.stored)
    return moved


def _check_object(source: Row, target: Row | None, row: Row) -> None:
    assert target is not None, f"{row['id']}: there is no object {row['s3_key']!r} in {row['s3_bucket']}"
    assert target["content"] == source["content"], f"{row['id']}: {row['s3_key']!r} is not what its source is"
    assert row["file_size"] == source["size"], f"{row['id']}: the row says {row['file_size']} bytes"
    assert row["etag"].strip('"') == target["etag"].strip('"'), f"{row['id']}: the row has another ETag"


def _check_other_columns(before: Row, after: Row) -> None:
    for column, value in before.items():
        if column not in NOT_OURS:
            assert after[column] == value, f"{before['id']}: {column} was {value!r}, is {after[column]!r}"


def _check_stayed(before: Snapshot, was: Row, row: Row) -> None:
    """A row that does not move keeps its pointer; a NULL bucket may have got the shared bucket's name."""
    if was["s3_key"] is not None and was["s3_bucket"] is None:
        assert row["s3_bucket"] in (None, before.shared), f"{row['id']} points into {row['s3_bucket']}"
    else:
        assert row["s3_bucket"] == was["s3_bucket"], f"{row['id']} moved to {row['s3_bucket']}"
    assert row["s3_key"] == was["s3_key"], f"{row['id']} moved to {row['s3_key']!r}"
    assert (row["etag"], row["file_size"]) == (was["etag"], was["file_size"]), (
        f"{row['id']}: it stayed, but was written"
    )


def _check_nothing_strange(after: Snapshot, homes: dict[Any, str], stored: dict[str, dict[str, Row]]) -> None:
    """Every object in a home bucket is one that a row of that tenant points to."""
    for tenant_id, home in homes.items():
        pointed = {
            row["s3_key"]
            for row in after.documents.values()
            if row["tenant_id"] == tenant_id and row["s3_bucket"] == home
        }
        assert set(stored[home]) == pointed, f"{home} holds {set(stored[home]) ^ pointed}"
        for row in after.documents.values():
            assert row["tenant_id"] == tenant_id or row["s3_bucket"] != home, f"{row['id']} points into {home}"


def configuration(client: Any, bucket: str) -> Row:
    """Return what S3 says of a bucket's configuration, setting by setting; None where there is none."""
    asked = {
        "public": lambda: client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"],
        "ownership": lambda: client.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"],
        "encryption": lambda: client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"],
        "versioning": lambda: client.get_bucket_versioning(Bucket=bucket).get("Status"),
        "lifecycle": lambda: client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"],
        "cors": lambda: client.get_bucket_cors(Bucket=bucket)["CORSRules"],
        "policy": lambda: client.get_bucket_policy(Bucket=bucket)["Policy"],
        "logging": lambda: client.get_bucket_logging(Bucket=bucket).get("LoggingEnabled"),
        "tags": lambda: client.get_bucket_tagging(Bucket=bucket)["TagSet"],
    }
    found: Row = {}
    for name, ask in asked.items():
        try:
            found[name] = ask()
        except ClientError:
            found[name] = None
    return found
