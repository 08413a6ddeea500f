"""Floor 2: where batches of copies run. Workers know S3 only; the driver alone writes to PostgreSQL."""
