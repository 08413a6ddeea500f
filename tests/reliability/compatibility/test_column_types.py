"""A mapped column of any type works there and back, or is refused by name before anything is made.

The types that are tried stand in docs/compatibility.md, which a run of scripts/compatibility writes.
"""

from __future__ import annotations

import pytest
from tests.support.column_types import REFUSED, TRIED, TYPES, WORKS

SAMPLE = {
    ("documents.size", "double precision"),
    ("documents.uploaded_at", "bigint"),
    ("documents.s3_bucket", "char(63)"),
    ("documents.tenant_id", "bigint"),
}
"""Tried by every run of the tests; the others take two minutes."""
CASES = [
    pytest.param(column, kind, id=f"{column}-{kind}", marks=() if (column, kind) in SAMPLE else pytest.mark.long)
    for column, kinds in TYPES.items()
    for kind in kinds
]
DOCUMENTS = {"11111111-1111-4111-8111-111111111111": b"one", "22222222-2222-4222-8222-222222222222": b"two"}


@pytest.mark.parametrize(("column", "kind"), CASES)
def test_a_column_works_or_is_refused_by_name(column, kind, new_room, figure):
    room = new_room(bare=True)
    ids = (
        {str(number): body for number, body in enumerate(DOCUMENTS.values(), 1)}
        if _is_number(column, kind)
        else DOCUMENTS
    )
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'A', '7')" if column == "tenants.slug" else
                  "INSERT INTO tenants (id, name, slug) VALUES (1, 'A', 'a')")  # fmt: skip
    for document_id, body in ids.items():
        room.upload(document_id, body, key=f"k/{document_id[:8]}")
    _retype(room, column, kind)
    tenant = "7" if column == "tenants.slug" else "a"
    ended = room.command("migrate", tenant)
    doctor = room.command("doctor")
    name = column.partition(".")[2]
    if ended.status == 2 and "nothing was switched" in ended.printed:
        assert kind.replace("varchar", "varying") in ended.printed, ended
        assert _read(room) == sorted(ids.values()) and _buckets(room) == {room.shared}
        _write_as_the_application(room)
        figure("column types", column=column, type=kind, outcome=TRIED)
        return
    if ended.status == 2:
        assert name in ended.printed, ended
        assert doctor.status == 1 and name in doctor.printed, doctor
        assert room.homes() == []
        assert room.rows("SELECT 1 FROM pg_class WHERE relname LIKE 's3\\_%'") == []
        _write_as_the_application(room)
        figure("column types", column=column, type=kind, outcome=REFUSED)
        return
    assert ended.status == 0, ended
    assert _read(room) == sorted(ids.values()) and _buckets(room) == {_home(room)}
    back = room.command("rollback", tenant)
    assert back.status == 0, back
    assert _read(room) == sorted(ids.values()) and _buckets(room) == {room.shared}
    _write_as_the_application(room)
    figure("column types", column=column, type=kind, outcome=WORKS)


def _is_number(column, kind):
    return column == "documents.id" and kind in {"bigint", "integer"}


def _retype(room, column, kind):
    table, _, name = column.partition(".")
    if column == "documents.tenant_id":
        room.execute("ALTER TABLE documents DROP CONSTRAINT documents_tenant_id_fkey")
    if column == "documents.etag":
        without_quotes = "NULL" if kind in {"varchar(20)", "bytea", "uuid"} else "btrim(etag, '\"')"
        room.execute(f"UPDATE documents SET etag = {without_quotes}")
    if column == "documents.s3_bucket" and kind == "varchar(12)":
        room.execute("UPDATE documents SET s3_bucket = NULL")
    value = {
        "jsonb": f"to_jsonb({name}::text)",
        "bytea": f"convert_to({name}::text, 'UTF8')",
    }.get(kind, f"{name}::text::{kind}")
    if column == "documents.uploaded_at" and kind == "bigint":
        value = f"(extract(epoch FROM {name}) * 1000)::bigint"
    if column == "tenants.is_active":
        value = f"{name}::integer::{kind}" if kind != "boolean" else name
    if column == "documents.tenant_id" and kind == "uuid":
        value = "'00000000-0000-4000-8000-000000000001'::uuid"
    room.execute(f"ALTER TABLE {table} ALTER {name} DROP DEFAULT")
    room.execute(f"ALTER TABLE {table} ALTER {name} TYPE {kind} USING {value}")


def _home(room):
    return room.rows("SELECT rtrim(aws_bucket_name::text) FROM tenants")[0][0]


def _buckets(room):
    return {
        row[0] for row in room.rows("SELECT DISTINCT coalesce(rtrim(s3_bucket::text), %s) FROM documents", room.shared)
    }


def _read(room):
    """Read every document as the application does."""
    rows = room.rows("SELECT coalesce(rtrim(s3_bucket::text), %s), rtrim(s3_key::text) FROM documents", room.shared)
    root = room.server.root()
    return sorted(root.get_object(Bucket=bucket, Key=key)["Body"].read() for bucket, key in rows)


def _write_as_the_application(room):
    """Change, delete and insert rows: whatever rehouse left in the database must not be able to fail that."""
    room.execute(
        "UPDATE documents SET filename = 'g'; CREATE TEMPORARY TABLE kept AS SELECT * FROM documents;"
        " DELETE FROM documents; INSERT INTO documents SELECT * FROM kept"
    )
