"""Run batches of copies. Workers use only S3; their caller writes to PostgreSQL."""
