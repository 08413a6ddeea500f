"""The application's own role, with exactly the rights that the page for DBAs grants, and policies that hide other tenants' rows."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from rehouse.config.sections import TableMapping

PAGE = Path(__file__).parents[2] / "docs" / "for-dbas.md"
GROUP, PASSWORD = "rehouse_storage", "of-the-application"
POLICIES = """
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
CREATE POLICY its_own ON tenants USING (id::text = current_setting('app.tenant', true));
CREATE POLICY its_own ON documents USING (tenant_id::text = current_setting('app.tenant', true));
"""


def script_of_the_page() -> str:
    """Return the GRANT statements of the page."""
    [script] = [
        block
        for block in re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        if GROUP in block
    ]
    return str(script)


def make_application_role(url: str, mapping: TableMapping) -> str:
    """Make the role in a database that has a ledger, and return its url. It may insert and delete documents beside."""
    of_rows = {
        name: getattr(mapping.documents, name).replace('"', '""')
        for name in ("s3_bucket", "s3_key", "file_size", "etag")
    }
    parts = psycopg.conninfo.conninfo_to_dict(url)
    group, login = f"storage_{parts['dbname']}", f"application_{parts['dbname']}"
    with psycopg.connect(url, autocommit=True) as connection:
        script = script_of_the_page().replace(GROUP, group)
        written = re.search(r"GRANT UPDATE \((.*?)\) ON documents", script)
        assert written is not None
        names = [of_rows.get(name, name) for name in written[1].split(", ")]
        script = script.replace(written[1], ", ".join(f'"{name}"' for name in names if name))
        connection.execute(script.encode())
        connection.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}' IN ROLE {group}".encode())
        connection.execute(f"GRANT INSERT, DELETE ON documents TO {login}".encode())
    return f"postgresql://{login}:{PASSWORD}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def hide_other_tenants(url: str) -> None:
    """Force row security on both tables: a session sees only the tenant whose id is in `app.tenant`."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(POLICIES)
