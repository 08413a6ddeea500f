"""What a database holds: tables, columns, functions, triggers, indexes."""

from __future__ import annotations

import psycopg


def objects(url: str) -> set[str]:
    """Everything that `init` could leave: relations, columns, triggers, routines."""
    query = """
    SELECT 'relation ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
    UNION SELECT 'column ' || attrelid::regclass || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
      WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION SELECT 'trigger ' || tgname FROM pg_trigger
    UNION SELECT 'routine ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """
    with psycopg.connect(url) as connection:
        return {str(row[0]) for row in connection.execute(query)}
