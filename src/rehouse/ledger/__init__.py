"""Access to PostgreSQL: the ledger of every migration, and the application's two tables."""
