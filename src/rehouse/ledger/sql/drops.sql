-- name: make_versions
-- Where the versions and open uploads of a bucket are held against the ledger.
CREATE TEMPORARY TABLE IF NOT EXISTS s3_versions (
  key text COLLATE "C", version_id text, etag text, is_current boolean, is_upload boolean);

-- name: forget_versions
-- Before a bucket is looked at.
TRUNCATE s3_versions;

-- name: copy_versions
-- What a listing told.
COPY s3_versions FROM STDIN;

-- name: analyze_versions
-- So that they are joined all at once.
ANALYZE s3_versions;

-- name: unknown_versions
-- Versions and uploads under keys that no line of the tenant names, and current objects with an ETag that none has.
SELECT v.key, v.version_id, v.is_upload FROM s3_versions v
LEFT JOIN (
  SELECT target_key AS key, target_etag AS etag FROM s3_migration_documents
  WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s
  UNION ALL
  SELECT source_key, source_etag FROM s3_migration_documents
  WHERE tenant_id = %(tenant_id)s AND source_bucket = %(home_bucket)s) known
  ON known.key = v.key COLLATE "C" AND (known.etag = v.etag OR v.etag IS NULL OR NOT v.is_current)
WHERE known.key IS NULL ORDER BY v.key;

-- name: versions_held
-- All of them, to be deleted.
SELECT key, version_id, etag, is_current FROM s3_versions WHERE NOT is_upload ORDER BY key;

-- name: uploads_held
-- The open uploads.
SELECT key, version_id FROM s3_versions WHERE is_upload ORDER BY key;

-- name: anybody_in_bucket
-- Whether a row of any tenant points into the bucket.
SELECT 1 FROM {documents.rows} d WHERE d.{documents.s3_bucket} = %(home_bucket)s LIMIT 1;

-- name: last_return
-- When the last document went back, or the home itself.
SELECT greatest(
  (SELECT max(flipped_at) FROM s3_migration_documents
   WHERE tenant_id = %(tenant_id)s AND source_bucket = %(home_bucket)s),
  (SELECT max(at) FROM s3_migration_events WHERE tenant_id = %(tenant_id)s AND event = 'home_returned'));

-- name: keep_home
-- The bucket is empty and keeps its name for a later migration.
UPDATE s3_migrations SET status = 'rolled_back', error_message = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = 'rolled_back';

-- name: forget_home
-- The bucket is gone, and its name may be anybody's now: a later migration makes a new one.
UPDATE s3_migrations SET home_bucket = NULL, status = 'rolled_back', error_message = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = 'rolled_back';
