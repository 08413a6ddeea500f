-- name: make_temporary_tables
-- Stand-ins that shadow the ledger's tables in this session: `plan` and `verify` write nothing that lasts.
CREATE TEMPORARY TABLE s3_inventory (
  run_id uuid, bucket text COLLATE "C", key text COLLATE "C", etag text, size bigint, storage_class text,
  modified_at timestamptz, contested boolean NOT NULL DEFAULT false, PRIMARY KEY (run_id, bucket, key));

-- name: make_empty_ledger
-- Before `init` there is no ledger: empty stand-ins of its tables, so that every reading query works as it is.
CREATE TEMPORARY TABLE s3_migrations (
  tenant_id {tenant_id_type}, run_id uuid, phase text, status text, home_bucket text, previous_home text, documents_migrated integer,
  documents_total bigint, documents_skipped bigint, documents_failed bigint, bytes_copied bigint, started_at timestamptz,
  completed_at timestamptz, error_message text, versioning_enabled_at timestamptz);
CREATE TEMPORARY TABLE s3_migration_documents (
  tenant_id {tenant_id_type}, document_id {document_id_type}, state text, source_bucket text, source_key text, source_etag text,
  source_size bigint, target_bucket text, target_key text, target_etag text, attempts integer, error_code text, error_message text,
  request_id text, run_id uuid);
CREATE TEMPORARY TABLE s3_migration_events (
  id bigint, tenant_id {tenant_id_type}, at timestamptz, actor text, event text, from_phase text, to_phase text, reason text);

-- name: copy_inventory
-- Some pages of a listing.
COPY s3_inventory (run_id, bucket, key, etag, size, storage_class, modified_at) FROM STDIN (FORMAT binary);

-- name: mark_inventory
-- The run has an inventory from now on: a row of no bucket.
INSERT INTO s3_inventory (run_id, bucket, key) VALUES (%(run_id)s, '', '') ON CONFLICT DO NOTHING;

-- name: inventory_mark
-- Whether nobody took it away.
SELECT 1 FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = '' AND key = '';

-- name: put_objects
-- What HEADs told, over what the listing told.
INSERT INTO s3_inventory (run_id, bucket, key, etag, size, storage_class, modified_at)
SELECT %(run_id)s, %(bucket)s, told.* FROM unnest(%(keys)s::text[], %(etags)s::text[], %(sizes)s::bigint[],
  %(storage_classes)s::text[], %(times)s::timestamptz[]) AS told (key, etag, size, storage_class, modified_at)
ON CONFLICT (run_id, bucket, key) DO UPDATE SET etag = excluded.etag, size = excluded.size,
  storage_class = excluded.storage_class, modified_at = excluded.modified_at;

-- name: forget_objects
-- HEADs told that they are gone.
DELETE FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s AND key = ANY(%(keys)s::text[]);

-- name: forget_bucket
-- Before a bucket is listed again.
DELETE FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s;

-- name: forget_run
-- At the end of a run, and for runs that died.
DELETE FROM s3_inventory WHERE run_id = %(run_id)s;

-- name: lock_inventory
-- Nobody else adds to it until the commit; where somebody is at work on it this waits for nothing.
LOCK TABLE s3_inventory IN ACCESS EXCLUSIVE MODE NOWAIT;

-- name: other_runs
-- Whether another run has an inventory.
SELECT 1 FROM s3_inventory WHERE run_id < %(run_id)s OR run_id > %(run_id)s LIMIT 1;

-- name: empty_inventory
-- No other run has one: the table and its index shrink to nothing.
TRUNCATE s3_inventory;

-- name: runs_in_inventory
-- Whose inventories there are.
SELECT DISTINCT run_id FROM s3_inventory;

-- name: objects_among
-- Which of these keys the inventory holds.
SELECT key, etag AS seen_etag, size AS seen_size, storage_class AS seen_storage_class, modified_at AS seen_modified_at, contested
FROM s3_inventory
WHERE run_id = %(run_id)s AND bucket = %(bucket)s AND key = ANY(%(keys)s);

-- name: count_range
-- How many objects lie in a range of keys; counting stops at the limit, where listing them would cost more than asking for each.
SELECT count(*) AS count FROM (
  SELECT 1 FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s AND key >= %(first)s AND key <= %(last)s
  LIMIT %(limit)s) counted;

-- name: mark_contested
-- Objects that two tenants claim: by rows that point there, or by what was moved from there.
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
-- The same of some objects of a bucket. A branch for each way to name it: every one of them is looked up by its keys.
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
-- Which of these objects of a bucket a row of any tenant points to, or a document was moved from.
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
-- Objects whose keys end in one of these after a slash. One scan of the bucket's inventory for all of them: the last characters
-- are compared first, by a hash.
SELECT k.key, i.key AS there FROM s3_inventory i JOIN unnest(%(keys)s::text[]) k (key) ON right(i.key, length(k.key) + 1) = '/' || k.key
WHERE i.run_id = %(run_id)s AND i.bucket = %(bucket)s AND right(i.key, %(characters)s) = ANY(%(ends)s::text[])
LIMIT %(limit)s;

-- name: orphans
-- Objects of a bucket that no row points to and that no migration copied from.
SELECT i.key, i.size FROM s3_inventory i
WHERE i.run_id = %(run_id)s AND i.bucket = %(bucket)s AND NOT EXISTS (
  SELECT 1 FROM {documents.rows} d WHERE d.{documents.s3_key} COLLATE "C" = i.key
    AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) COLLATE "C" = i.bucket)
  AND NOT EXISTS (SELECT 1 FROM s3_migration_documents m WHERE m.source_bucket = i.bucket AND m.source_key = i.key)
ORDER BY i.key;

-- name: inventory_totals
-- Objects and bytes of a bucket.
SELECT count(*) AS objects, coalesce(sum(size), 0)::bigint AS bytes FROM s3_inventory WHERE run_id = %(run_id)s AND bucket = %(bucket)s;
