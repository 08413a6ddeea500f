"""The schema of the ledger: what each revision brings, as statements made from the catalog. Alembic keeps the count."""
