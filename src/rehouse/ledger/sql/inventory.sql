-- name: make_temporary_tables
-- Create temporary tables with the names of the ledger's tables, because `plan` and `verify` write nothing that lasts.
CREATE TEMPORARY TABLE s3_inventory (
  run_id uuid, bucket text COLLATE "C", key text COLLATE "C", etag text, size bigint, storage_class text,
  modified_at timestamptz, contested boolean NOT NULL DEFAULT false, PRIMARY KEY (run_id, bucket, key));

-- name: make_empty_ledger
-- Create empty temporary tables in place of the ledger's before `init`, so that every reading query works unchanged.
CREATE TEMPORARY TABLE s3_migrations (
  tenant_id {tenant_id_type}, run_id uuid, phase text, status text, home_bucket text, previous_home text, documents_migrated integer,
  documents_total bigint, documents_skipped bigint, documents_failed bigint, bytes_copied bigint, started_at timestamptz,
  completed_at timestamptz, error_message text, versioning_enabled_at timestamptz, documents_accepted bigint,
  documents_waiting bigint, documents_at_home bigint, run_failed boolean);
CREATE TEMPORARY TABLE s3_migration_documents (
  tenant_id {tenant_id_type}, document_id {document_id_type}, state text, source_bucket text, source_key text, source_etag text,
  source_size bigint, target_bucket text, target_key text, target_etag text, attempts integer, error_code text, error_message text,
  request_id text, run_id uuid);
CREATE TEMPORARY TABLE s3_migration_events (
  id bigint, tenant_id {tenant_id_type}, at timestamptz, actor text, event text, from_phase text, to_phase text, reason text);
CREATE TEMPORARY TABLE s3_upload_grants (
  tenant_id {tenant_id_type}, bucket text, temp_key text COLLATE "C", final_bucket text, final_key text COLLATE "C", state text);
CREATE TEMPORARY TABLE s3_pending_deletions (tenant_id {tenant_id_type}, bucket text, key text COLLATE "C");

-- name: copy_inventory
-- Add some pages of a listing.
COPY s3_inventory (run_id, bucket, key, etag, size, storage_class, modified_at) FROM STDIN (FORMAT binary);

-- name: mark_inventory
-- Mark the inventory as in use by this run, with a row without a bucket.
INSERT INTO s3_inventory (run_id, bucket, key) VALUES (%(run_id)s, '', '') ON CONFLICT DO NOTHING;

-- name: inventory_mark
-- Return a row if the mark still exists.
SELECT 1 FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = '' AND key = '';

-- name: put_objects
-- Record the results of HEADs, which replace those of the listing.
INSERT INTO s3_inventory (run_id, bucket, key, etag, size, storage_class, modified_at)
SELECT %(run_id)s, %(bucket)s, told.* FROM unnest(%(keys)s::text[], %(etags)s::text[], %(sizes)s::bigint[],
  %(storage_classes)s::text[], %(times)s::timestamptz[]) AS told (key, etag, size, storage_class, modified_at)
ON CONFLICT (run_id, bucket, key) DO UPDATE SET etag = excluded.etag, size = excluded.size,
  storage_class = excluded.storage_class, modified_at = excluded.modified_at;

-- name: forget_objects
-- Delete objects that HEADs did not find.
DELETE FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s AND key = ANY(%(keys)s::text[]);

-- name: forget_bucket
-- Delete the inventory of a bucket before it is listed again.
DELETE FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s;

-- name: forget_run
-- Delete the inventory of a run, at its end or after it died.
DELETE FROM s3_inventory WHERE run_id = %(run_id)s;

-- name: lock_inventory
-- Prevent others from adding to the inventory until the commit. If the table is in use, this fails without waiting.
LOCK TABLE s3_inventory IN ACCESS EXCLUSIVE MODE NOWAIT;

-- name: other_runs
-- Return a row if another run has an inventory.
SELECT 1 FROM s3_inventory WHERE run_id < %(run_id)s OR run_id > %(run_id)s LIMIT 1;

-- name: empty_inventory
-- Truncate the table, because no other run has an inventory.
TRUNCATE s3_inventory;

-- name: runs_in_inventory
-- Return the runs that have an inventory.
SELECT DISTINCT run_id FROM s3_inventory;

-- name: objects_among
-- Return those of the keys that the inventory holds.
SELECT key, etag AS seen_etag, size AS seen_size, storage_class AS seen_storage_class, modified_at AS seen_modified_at, contested
FROM s3_inventory
WHERE run_id = %(run_id)s AND bucket = %(bucket)s AND key = ANY(%(keys)s);

-- name: count_range
-- Count the objects in a range of keys. Counting stops at the limit, above which listing them would cost more than HEADs.
SELECT count(*) AS count FROM (
  SELECT 1 FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s AND key >= %(first)s AND key <= %(last)s
  LIMIT %(limit)s) counted;

-- name: mark_contested
-- Mark the objects that two tenants claim: rows point there, or documents were moved from there.
UPDATE s3_inventory i SET contested = true FROM (
  SELECT bucket, key FROM (
    SELECT coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) AS bucket, d.{documents.s3_key} AS key,
      d.{documents.tenant_id}::text AS tenant
    FROM {documents.rows} d
    WHERE d.{documents.s3_key} <> '' AND d.{documents.tenant_id} IS NOT NULL AND {documents.is_indexed}
    UNION ALL
    SELECT m.source_bucket, m.source_key, m.tenant_id::text
    FROM s3_migration_documents m WHERE m.state IN {states.moved}) claimed
  GROUP BY bucket, key HAVING min(tenant) <> max(tenant)) shared
WHERE i.run_id = %(run_id)s AND i.bucket = shared.bucket COLLATE "C" AND i.key = shared.key COLLATE "C";

-- name: mark_contested_among
-- Do the same for some objects of a bucket. Each way to claim an object has its own branch, so that each is looked up by key.
UPDATE s3_inventory i SET contested = true FROM (
  SELECT key FROM (
    SELECT d.{documents.s3_key} AS key, d.{documents.tenant_id}::text AS tenant FROM {documents.rows} d
    WHERE d.{documents.s3_bucket} = %(bucket)s AND d.{documents.s3_key} = ANY(%(keys)s::text[])
    AND {documents.is_indexed}
    UNION ALL
    SELECT d.{documents.s3_key}, d.{documents.tenant_id}::text FROM {documents.rows} d
    WHERE d.{documents.s3_bucket} IS NULL AND %(bucket)s = %(default_bucket)s AND d.{documents.s3_key} = ANY(%(keys)s::text[])
    AND {documents.is_indexed}
    UNION ALL
    SELECT d.{documents.s3_key}, d.{documents.tenant_id}::text FROM {documents.rows} d
    WHERE d.{documents.s3_bucket} = '' AND %(bucket)s = %(default_bucket)s AND d.{documents.s3_key} = ANY(%(keys)s::text[])
    AND {documents.is_indexed}
    UNION ALL
    SELECT m.source_key, m.tenant_id::text FROM s3_migration_documents m
    WHERE m.source_bucket = %(bucket)s AND m.source_key = ANY(%(keys)s::text[]) AND m.state IN {states.moved}
  ) claimed GROUP BY key HAVING min(tenant) <> max(tenant)) shared
WHERE i.run_id = %(run_id)s AND i.bucket = %(bucket)s AND i.key = shared.key COLLATE "C";

-- name: claimed_among
-- Return those of the keys of a bucket to which any row points, or from which a document was moved.
SELECT d.{documents.s3_key} AS key FROM {documents.rows} d
WHERE d.{documents.s3_bucket} = %(bucket)s AND d.{documents.s3_key} = ANY(%(keys)s::text[])
    AND {documents.is_indexed}
UNION ALL
SELECT d.{documents.s3_key} FROM {documents.rows} d
WHERE d.{documents.s3_bucket} IS NULL AND %(bucket)s = %(default_bucket)s AND d.{documents.s3_key} = ANY(%(keys)s::text[])
    AND {documents.is_indexed}
UNION ALL
SELECT d.{documents.s3_key} FROM {documents.rows} d
WHERE d.{documents.s3_bucket} = '' AND %(bucket)s = %(default_bucket)s AND d.{documents.s3_key} = ANY(%(keys)s::text[])
    AND {documents.is_indexed}
UNION ALL
SELECT m.source_key FROM s3_migration_documents m
WHERE m.source_bucket = %(bucket)s AND m.source_key = ANY(%(keys)s::text[]) AND m.state IN {states.moved};

-- name: objects_ending_in
-- Return the objects whose keys end in a slash and one of these keys. One scan of the bucket's inventory serves all of them:
-- the last characters are compared first, by a hash.
SELECT k.key, i.key AS there FROM s3_inventory i JOIN unnest(%(keys)s::text[]) k (key) ON right(i.key, length(k.key) + 1) = '/' || k.key
WHERE i.run_id = %(run_id)s AND i.bucket = %(bucket)s AND right(i.key, %(characters)s) = ANY(%(ends)s::text[])
LIMIT %(limit)s;

-- name: orphans
-- Return the objects of a bucket to which no row points and from which no migration copied.
SELECT i.key, i.size FROM s3_inventory i
WHERE i.run_id = %(run_id)s AND i.bucket = %(bucket)s AND NOT EXISTS (
  SELECT 1 FROM {documents.rows} d WHERE d.{documents.s3_key} COLLATE "C" = i.key
    AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) COLLATE "C" = i.bucket)
  AND NOT EXISTS (SELECT 1 FROM s3_migration_documents m WHERE m.source_bucket = i.bucket AND m.source_key = i.key)
ORDER BY i.key;

-- name: inventory_totals
-- Count the objects and bytes of a bucket.
SELECT count(*) AS objects, coalesce(sum(size), 0)::bigint AS bytes FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s;
