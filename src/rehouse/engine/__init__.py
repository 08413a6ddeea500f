"""Runs batches of copies. Workers use S3 only; only their caller writes to PostgreSQL."""
