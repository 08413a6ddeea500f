-- name: expect_versioning
-- Record a time before the request that enables versioning. A run that is killed before S3 answers leaves this, and the next run
-- then waits longer than necessary, but never shorter.
UPDATE s3_migrations SET versioning_enabled_at = clock_timestamp() + interval '10 minutes'
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s RETURNING 1;

-- name: record_versioning
-- Record that versioning is enabled, after the request or in a later run that finds it enabled. A recorded time stays.
UPDATE s3_migrations SET versioning_enabled_at = clock_timestamp()
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND versioning_enabled_at > clock_timestamp();

-- name: versioned_for
-- Return the seconds since then, on the database's clock; NULL if the bucket had versioning before rehouse.
SELECT extract(epoch FROM clock_timestamp() - versioning_enabled_at)::float8 AS seconds FROM s3_migrations WHERE tenant_id = %(tenant_id)s;

-- name: recent_homes
-- Return the homes that rehouse created (or whose versioning it enabled) recently, with their ages in seconds.
SELECT home_bucket, greatest(0, extract(epoch FROM clock_timestamp() - versioning_enabled_at))::float8 AS age
FROM s3_migrations WHERE versioning_enabled_at > clock_timestamp() - %(seconds)s * interval '1 second';
