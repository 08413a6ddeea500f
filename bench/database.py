"""The application's database for a benchmark: rows that fit the stub's objects, statements counted, CPU of the server."""

from __future__ import annotations

from typing import NamedTuple

import psycopg

from bench.processes import family_cpu_seconds
from bench.servers import CountingPostgres
from bench.stub.storage import KEY_END, KEY_PREFIX, SHARED
from rehouse.sandbox.schema import create_application


class Layout(NamedTuple):
    """How the shared bucket's objects belong to tenants: `tenant` and `id` are SQL over the object's `number` (from 0)."""

    name: str
    objects: int
    tenants: int
    tenant: str
    id: str


TIME_ORDERED = "lpad(to_hex(number), 8, '0') || '-0000-7000-8000-' || substr(md5(number::text), 1, 12)"
RANDOM = "md5(number::text)::uuid::text"


def together(documents: int) -> Layout:
    """One tenant; its keys lie together, and its ids grow with them, as those of UUID version 7 do."""
    return Layout("together", documents, 1, "1", TIME_ORDERED)


def interleaved(documents: int, others: int) -> Layout:
    """One tenant, its keys spread over those of 999 others in order of upload; random ids."""
    objects = documents + others
    mine = f"(number + 1) * {documents} / {objects} > number * {documents} / {objects}"
    return Layout("interleaved", objects, 1000, f"CASE WHEN {mine} THEN 1 ELSE 2 + number % 999 END", RANDOM)


def many_tenants(tenants: int, documents_each: int) -> Layout:
    """Tenants of equal size, their keys interleaved; random ids."""
    return Layout("many tenants", tenants * documents_each, tenants, f"1 + number % {tenants}", RANDOM)


def create(server: CountingPostgres, name: str, layout: Layout) -> str:
    """Create a database with the layout's rows, vacuumed and analysed as one in use is; return its url."""
    url = server.create_database(name)
    with psycopg.connect(url, autocommit=True) as connection:
        create_application(connection, "integer")
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute(
            f"INSERT INTO tenants (name, slug) SELECT 'Tenant ' || n, 'tenant-' || n FROM generate_series(1, {layout.tenants}) n"
        )
        connection.execute(insert_documents(layout.objects, layout.tenant, layout.id))
        connection.execute("VACUUM ANALYZE")
    return url


def insert_documents(count: int, tenant: str, document_id: str, first: int = 0) -> str:
    """Return the statement that inserts rows for the stub's objects `first` to `first + count`."""
    key = f"'{KEY_PREFIX}' || lpad(number::text, 9, '0') || '{KEY_END}'"
    return f"""
        INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, etag, mimetype, size, file_size,
                               uploaded_at)
        SELECT {document_id}, {tenant}, 'Contract ' || number || '.pdf', number || '.pdf', '{SHARED}', {key}, md5({key}),
               'application/pdf', 1024 + number * 7919 % 4000000, 1024 + number * 7919 % 4000000,
               timestamptz '2025-01-01' + number * interval '1 second'
        FROM generate_series({first}::bigint, {first + count - 1}::bigint) AS number"""


class Statements(NamedTuple):
    """What the server was asked: statements in all, and the costliest as (calls, milliseconds, rows, text)."""

    calls: int
    costliest: list[tuple[int, float, int, str]]


def forget_statements(url: str) -> None:
    """Begin to count anew."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT pg_stat_statements_reset()")


def statements(url: str, most: int = 12) -> Statements:
    """Return what was asked since, in this database."""
    here = (
        "WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND query NOT LIKE '%pg_stat_%'"
    )
    with psycopg.connect(url) as connection:
        calls = connection.execute(f"SELECT coalesce(sum(calls), 0)::int FROM pg_stat_statements {here}").fetchone()
        rows = connection.execute(
            f"SELECT calls, total_exec_time, rows, left(regexp_replace(query, '\\s+', ' ', 'g'), 160)"
            f" FROM pg_stat_statements {here} ORDER BY total_exec_time DESC LIMIT {most}"
        ).fetchall()
    return Statements(calls[0] if calls else 0, [(row[0], round(row[1], 1), row[2], row[3]) for row in rows])


def phases(url: str, slug: str) -> list[tuple[str, float]]:
    """Return (phase, epoch seconds when the tenant reached it) in order."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT 'planned', extract(epoch FROM m.started_at)::float8 FROM s3_migrations m JOIN tenants t ON t.id = m.tenant_id"
            " WHERE t.slug = %(slug)s UNION ALL"
            " SELECT to_phase, extract(epoch FROM at)::float8 FROM s3_migration_events e JOIN tenants t ON t.id = e.tenant_id"
            " WHERE t.slug = %(slug)s AND to_phase IS NOT NULL ORDER BY 2",
            {"slug": slug},
        ).fetchall()
    return [(row[0], row[1]) for row in rows]


def server_cpu_seconds(server: CountingPostgres) -> float:
    """Return the CPU seconds of the whole server so far: backends, those that ended, and its own processes."""
    return family_cpu_seconds(server.pid)


def add_empty_tenant(url: str, slug: str) -> None:
    """Add a tenant that has no documents: what a command costs on it is its start-up."""
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO tenants (name, slug) VALUES (%s, %s)", [slug, slug])
