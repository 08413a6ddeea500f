-- name: expect_versioning
-- Before the request that enables versioning: the latest moment at which S3 can have done it. A run that is killed before S3
-- answers leaves this behind, and the next one waits longer than it must, never shorter.
UPDATE s3_migrations SET versioning_enabled_at = clock_timestamp() + interval '10 minutes'
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s RETURNING 1;

-- name: record_versioning
-- After it, or by a later run that finds it enabled. A time that has been recorded stays.
UPDATE s3_migrations SET versioning_enabled_at = clock_timestamp()
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND versioning_enabled_at > clock_timestamp();

-- name: versioned_for
-- The seconds since then, by the database's clock at both ends; NULL if the bucket had versioning before rehouse.
SELECT extract(epoch FROM clock_timestamp() - versioning_enabled_at)::float8 AS seconds FROM s3_migrations WHERE tenant_id = %(tenant_id)s;

-- name: recent_homes
-- The homes that rehouse made (or enabled versioning of) a short while ago, with their ages in seconds.
SELECT home_bucket, greatest(0, extract(epoch FROM clock_timestamp() - versioning_enabled_at))::float8 AS age
FROM s3_migrations WHERE versioning_enabled_at > clock_timestamp() - %(seconds)s * interval '1 second';
