"""Rows of the application, as its own code would write them, and what the usage ought to say about them."""

from __future__ import annotations

import psycopg

RECOUNTED = """
SELECT t.slug, count(d.id), coalesce(sum(coalesce(nullif(d.file_size, 0), d.size, 0)), 0)::bigint
FROM tenants t LEFT JOIN documents d ON d.tenant_id = t.id GROUP BY t.slug ORDER BY t.slug
"""
RECORDED = """
SELECT t.slug, u.documents_count, u.storage_used_bytes FROM tenants t LEFT JOIN tenant_usage u ON u.tenant_id = t.id
  AND u.month = (date_trunc('month', now() AT TIME ZONE 'UTC') + %s * interval '1 month')::date ORDER BY t.slug
"""
GUIDES_USAGE = """
SELECT 
    t.name,
    tu.storage_used_mb,
    tu.documents_count
FROM tenants t
JOIN tenant_usage tu ON t.id = tu.tenant_id
WHERE tu.month = date_trunc('month', CURRENT_DATE);
"""  # noqa: W291 - verbatim
GUIDES_OVERVIEW = """
SELECT 
    t.name,
    sm.status,
    sm.documents_migrated,
    sm.completed_at
FROM tenants t
LEFT JOIN s3_migrations sm ON t.id = sm.tenant_id
ORDER BY t.name;
"""  # noqa: W291 - verbatim


def add_tenants(connection: psycopg.Connection, *slugs: str) -> list[object]:
    """Insert tenants and return their ids."""
    insert = "INSERT INTO tenants (name, slug) VALUES (%s, %s) RETURNING id"
    return [connection.execute(insert, (slug.title(), slug)).fetchone()[0] for slug in slugs]  # type: ignore[index]


def add_document(
    connection: psycopg.Connection, document_id: str, tenant_id: object, size: int, file_size: int | None = 0
) -> None:
    """Insert a document."""
    connection.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size, file_size)"
        " VALUES (%s, %s, 'name', 'name', 'key/' || %s, %s, %s)",
        (document_id, tenant_id, document_id, size, file_size),
    )


def recounted(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """Return (slug, documents, bytes) of each tenant, counted."""
    return connection.execute(RECOUNTED).fetchall()


def fold(connection: psycopg.Connection) -> None:
    """Fold every pending delta, in or out of a transaction."""
    while connection.execute("SELECT sum(rehouse_fold_usage(id)) FROM tenants").fetchone()[0]:  # type: ignore[index]
        pass


def recorded(connection: psycopg.Connection, month: int = 0) -> list[tuple[object, ...]]:
    """Return (slug, documents, bytes) of each tenant, as tenant_usage has it for this month (0) or the next (1), folded."""
    fold(connection)
    assert connection.execute("SELECT count(*) FROM rehouse_usage_deltas").fetchone() == (0,)
    return shown(connection, month)


def shown(connection: psycopg.Connection, month: int = 0) -> list[tuple[object, ...]]:
    """Return the same as it is, nothing folded."""
    return connection.execute(RECORDED, (month,)).fetchall()
