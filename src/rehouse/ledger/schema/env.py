"""Alembic's environment: run over the connection that the schema package passes, or print SQL.

No URL, no ini file.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from rehouse.ledger.catalog import VERSION_TABLE

attributes = context.config.attributes
names = {"version_table": VERSION_TABLE, "version_table_schema": attributes["catalog"].schema}

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", transactional_ddl=False, **names)
    context.run_migrations()
else:
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: attributes["connection"],
        poolclass=StaticPool,
        isolation_level="AUTOCOMMIT",
        use_native_hstore=False,
    )
    with engine.connect() as connection:
        context.configure(connection=connection, transactional_ddl=False, **names)
        context.run_migrations()
