-- name: leftovers
-- Group the objects of a shared bucket in the run's inventory by why they are still there, with their number, their bytes and the
-- first three keys. A row that points to the object decides first, then what the ledger knows of it as a source, then the uploads of
-- the application's storage. The sources that `finish` would leave are parameters: their keys and the reasons.
WITH pointing AS (
  SELECT DISTINCT ON (d.{documents.s3_key} COLLATE "C") d.{documents.s3_key} COLLATE "C" AS key, d.{documents.tenant_id} AS tenant_id,
    d.{documents.id} AS document_id
  FROM {documents.rows} d
  WHERE d.{documents.s3_key} <> '' AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) = %(bucket)s
    AND {documents.is_indexed}
  ORDER BY d.{documents.s3_key} COLLATE "C", d.{documents.id}
), moved AS (
  SELECT DISTINCT ON (source_key) source_key AS key, tenant_id, state, source_etag, error_code
  FROM s3_migration_documents WHERE source_bucket = %(bucket)s
  ORDER BY source_key, array_position(ARRAY['flipped', 'removing', 'removed'], state)
), returned AS (
  SELECT DISTINCT ON (target_key) target_key AS key, tenant_id
  FROM s3_migration_documents WHERE target_bucket = %(bucket)s ORDER BY target_key
), stored AS (
  SELECT DISTINCT ON (u.key) u.key, u.tenant_id FROM (
    SELECT g.temp_key AS key, g.tenant_id FROM s3_upload_grants g WHERE g.bucket = %(bucket)s AND g.state <> 'confirmed'
    UNION ALL SELECT g.final_key, g.tenant_id FROM s3_upload_grants g WHERE g.final_bucket = %(bucket)s AND g.state <> 'confirmed'
    UNION ALL SELECT o.key, o.tenant_id FROM s3_pending_deletions o WHERE o.bucket = %(bucket)s) u ORDER BY u.key
), sorted AS (
  SELECT i.key, i.size, coalesce(p.tenant_id, m.tenant_id, r.tenant_id, u.tenant_id) AS tenant_id,
    CASE WHEN p.key IS NOT NULL AND own.state IN ('accepted', 'quarantined') THEN own.state
      WHEN p.key IS NOT NULL THEN 'pointed_at'
      WHEN m.state IN {states.moved} AND m.error_code = 'Conflict' THEN 'conflict'
      WHEN m.state IN {states.moved_with_source} AND m.source_etag = i.etag AND l.key IS NOT NULL THEN 'stays'
      WHEN m.state IN {states.moved_with_source} AND m.source_etag = i.etag THEN 'source'
      WHEN m.state IN {states.moved} THEN 'changed'
      WHEN m.key IS NOT NULL THEN 'superseded'
      WHEN r.key IS NOT NULL THEN 'returned'
      WHEN u.key IS NOT NULL THEN 'upload'
      ELSE 'orphan' END AS category,
    CASE WHEN p.key IS NOT NULL AND own.state <> 'accepted' THEN own.error_code
      WHEN p.key IS NULL AND m.state IN {states.moved_with_source} AND m.source_etag = i.etag AND coalesce(m.error_code, '') <> 'Conflict'
      THEN l.reason END AS reason
  FROM s3_inventory i
  LEFT JOIN pointing p ON p.key = i.key
  LEFT JOIN s3_migration_documents own ON own.tenant_id = p.tenant_id AND own.document_id = p.document_id
    AND own.source_bucket = %(bucket)s AND own.source_key = i.key
  LEFT JOIN moved m ON m.key = i.key
  LEFT JOIN returned r ON r.key = i.key
  LEFT JOIN stored u ON u.key = i.key
  LEFT JOIN unnest(%(stay_keys)s::text[], %(stay_reasons)s::text[]) l (key, reason) ON l.key COLLATE "C" = i.key
  WHERE i.run_id = %(run_id)s AND i.bucket = %(bucket)s
), numbered AS (
  SELECT *, row_number() OVER (PARTITION BY category, tenant_id, reason ORDER BY key) AS number FROM sorted
)
SELECT n.category, n.tenant_id, g.phase, n.reason, count(*) AS objects, sum(n.size)::bigint AS size,
  array_agg(n.key ORDER BY n.key) FILTER (WHERE n.number <= 3) AS examples
FROM numbered n
LEFT JOIN s3_migrations g ON g.tenant_id = n.tenant_id
GROUP BY n.category, n.tenant_id, g.phase, n.reason
ORDER BY n.category, n.tenant_id, n.reason;

-- name: rows_in
-- Count the rows that point to a bucket, by tenant, and those whose object the run's inventory lacks; with the first three of
-- these documents.
SELECT d.{documents.tenant_id} AS tenant_id, count(*) AS rows, count(*) FILTER (WHERE i.key IS NULL) AS without_object,
  (array_agg(d.{documents.id}::text ORDER BY d.{documents.id}) FILTER (WHERE i.key IS NULL))[1:3] AS examples
FROM {documents.rows} d
LEFT JOIN s3_inventory i ON i.run_id = %(run_id)s AND i.bucket = %(bucket)s AND i.key = d.{documents.s3_key} COLLATE "C"
WHERE d.{documents.s3_key} <> '' AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) = %(bucket)s
GROUP BY d.{documents.tenant_id} ORDER BY d.{documents.tenant_id};

-- name: tenants_at
-- Return the tenants that have a bucket as their home.
SELECT t.{tenants.id} AS tenant_id FROM {tenants.rows} t WHERE t.{tenants.aws_bucket_name} = %(bucket)s;

-- name: tenants_not_finished
-- Return the tenants that may still need a shared bucket, in order of slug.
SELECT t.{tenants.id} AS tenant_id FROM {tenants.rows} t LEFT JOIN s3_migrations m ON m.tenant_id = t.{tenants.id}
WHERE m.phase IS DISTINCT FROM 'finished'
ORDER BY lower(t.{tenants.slug}::text COLLATE "C"), t.{tenants.slug}::text COLLATE "C", t.{tenants.id};

-- name: removed_keys_among
-- Return those of the keys that are sources which rehouse removed from the bucket.
SELECT DISTINCT source_key FROM s3_migration_documents
WHERE source_bucket = %(bucket)s AND state = 'removed' AND source_key = ANY(%(keys)s);

-- name: record_bucket
-- Add the removal of a shared bucket, or that it is about to begin, to the history; it belongs to no single tenant.
INSERT INTO s3_migration_events (run_id, event, reason) VALUES (%(run_id)s, %(event)s, %(bucket)s);

-- name: buckets_dropped
-- Find the shared buckets that were removed or about to be, first the one that most migrations had as the meaning of NULL.
SELECT e.reason AS bucket FROM {s3_migration_events} e
WHERE e.tenant_id IS NULL AND e.event = ANY(%(events)s) AND e.reason IS NOT NULL
GROUP BY e.reason
ORDER BY (SELECT count(*) FROM {s3_migrations} m WHERE m.old_bucket = e.reason) DESC, min(e.id);

-- name: homes_in_use
-- Find a few homes that were made: where no shared bucket is left, a run works in their region.
SELECT m.home_bucket AS bucket FROM {s3_migrations} m
WHERE m.home_bucket IS NOT NULL AND m.phase IN ('cut_over', 'released', 'finished') ORDER BY m.updated_at DESC LIMIT 3;

-- name: make_versions
-- Create the temporary table for the versions and open uploads of a bucket, to compare them with the ledger.
CREATE TEMPORARY TABLE IF NOT EXISTS s3_versions (
  key text COLLATE "C", version_id text, etag text, is_current boolean, is_upload boolean);

-- name: forget_versions
-- Empty it before a bucket is listed.
TRUNCATE s3_versions;

-- name: copy_versions
-- Copy a listing into it.
COPY s3_versions FROM STDIN;

-- name: analyze_versions
-- Give the planner statistics of it, so that it joins all versions at once.
ANALYZE s3_versions;

-- name: unknown_versions
-- Return versions and uploads with keys that no record of the tenant has, and current objects with an ETag that no record has.
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
-- Return all versions, to delete them.
SELECT key, version_id, etag, is_current FROM s3_versions WHERE NOT is_upload ORDER BY key;

-- name: uploads_held
-- Return the open uploads, to abort them.
SELECT key, version_id FROM s3_versions WHERE is_upload ORDER BY key;

-- name: anybody_in_bucket
-- Return a row if a row of any tenant points to the bucket.
SELECT 1 FROM {documents.rows} d WHERE d.{documents.s3_bucket} = %(home_bucket)s LIMIT 1;

-- name: last_return
-- Return when the last document or the home was returned.
SELECT greatest(
  (SELECT max(flipped_at) FROM s3_migration_documents
   WHERE tenant_id = %(tenant_id)s AND source_bucket = %(home_bucket)s),
  (SELECT max(at) FROM s3_migration_events WHERE tenant_id = %(tenant_id)s AND event = 'home_returned')) AS moment;

-- name: keep_home
-- Record that the bucket is empty and keeps its name for a later migration.
UPDATE s3_migrations SET status = 'rolled_back', error_message = NULL, run_failed = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = 'rolled_back';

-- name: forget_home
-- Record that the bucket is removed. Its name may belong to anybody now, so a later migration creates a new bucket.
UPDATE s3_migrations SET home_bucket = NULL, status = 'rolled_back', error_message = NULL, run_failed = NULL,
  updated_at = now()
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = 'rolled_back';
