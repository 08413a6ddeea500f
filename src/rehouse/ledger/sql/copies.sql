-- name: prepare_page
-- Make a page start at the index entry where the last one ended. A bitmap scan would read the whole tenant for each page.
SET LOCAL enable_bitmapscan = off;

-- name: page_of_documents
-- Return a page of the tenant's documents that are not at home, by keyset, with what the inventory and the ledger know of
-- each. Both are looked up by key for each row (OFFSET 0), because they grow while the planner's statistics of them are old or
-- missing.
SELECT d.{documents.id} AS document_id, d.{documents.tenant_id} AS tenant_id, {name_told.d} AS name, {bucket_told.d} AS bucket,
  {key_told.d} AS key, left(d.{documents.etag}, 255) AS row_etag, {uploaded_at_told.d} AS uploaded_at,
  {key_fault.d} AS key_fault,
  i.etag AS seen_etag, i.size AS seen_size, i.storage_class AS seen_storage_class, i.modified_at AS seen_modified_at,
  coalesce(i.contested, false) AS contested,
  m.state, m.source_bucket, m.source_key, m.source_etag, m.target_bucket, m.target_key, m.target_etag,
  coalesce(m.run_id = %(run_id)s, false) AS recorded_now
FROM (
  SELECT * FROM {documents.rows} p
  WHERE p.{documents.tenant_id} = %(tenant_id)s AND (%(after)s::{document_id_type} IS NULL OR p.{documents.id} > %(after)s)
    AND {id_is_readable.p} AND p.{documents.s3_key} <> '' AND p.{documents.s3_bucket} IS DISTINCT FROM %(home_bucket)s
  ORDER BY p.{documents.id} LIMIT %(limit)s) d
LEFT JOIN LATERAL (
  SELECT * FROM s3_inventory o WHERE o.run_id = %(run_id)s
    AND o.bucket = coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) COLLATE "C" AND o.key = d.{documents.s3_key} COLLATE "C"
  OFFSET 0) i ON true
LEFT JOIN LATERAL (
  SELECT * FROM s3_migration_documents o
  WHERE o.tenant_id = d.{documents.tenant_id} AND o.document_id = d.{documents.id} OFFSET 0) m ON true
ORDER BY d.{documents.id};

-- name: count_documents
-- Count the tenant's rows: all, without a key, at home, outside with a key, and how many of these are accepted. The accepted
-- are few and are counted separately, because joining all rows with all ledger records costs twice as much.
SELECT count(*) AS total,
  count(*) FILTER (WHERE coalesce(d.{documents.s3_key}, '') = '') AS without_key,
  count(*) FILTER (WHERE d.{documents.s3_key} <> '' AND d.{documents.s3_bucket} = %(home_bucket)s) AS at_home,
  count(*) FILTER (WHERE d.{documents.s3_key} <> '' AND d.{documents.s3_bucket} IS DISTINCT FROM %(home_bucket)s) AS outside,
  (SELECT count(*) FROM s3_migration_documents m
    JOIN {documents.rows} a ON a.{documents.id} = m.document_id AND a.{documents.tenant_id} = m.tenant_id
    WHERE m.tenant_id = %(tenant_id)s AND m.state = 'accepted' AND m.source_key = {key_told.a}
      AND a.{documents.s3_key} <> '' AND a.{documents.s3_bucket} IS DISTINCT FROM %(home_bucket)s
      AND m.source_bucket = coalesce(nullif({bucket_told.a}, ''), %(default_bucket)s)) AS accepted
FROM {documents.rows} d
WHERE d.{documents.tenant_id} = %(tenant_id)s;

-- name: count_rows_with_key
-- Count the rows of all tenants that have a key, as an upper estimate of the number of objects in the shared bucket.
SELECT count(*) AS count
FROM {documents.rows} d WHERE d.{documents.s3_key} <> '';

-- name: count_below
-- Count the tenant's documents with this prefix in its home.
SELECT count(*) AS count FROM {documents.rows} d
WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.s3_bucket} = %(home_bucket)s
  AND starts_with(d.{documents.s3_key}, %(prefix)s);

-- name: migrated
-- Return how many documents and bytes the migration has moved. Documents that a rollback returned do not count.
SELECT count(*) AS documents, coalesce(sum(source_size), 0)::bigint AS bytes FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s AND state IN {states.moved};

-- name: make_outcomes
-- Create the temporary table into which a batch of outcomes is copied before it is merged into the ledger.
CREATE TEMPORARY TABLE IF NOT EXISTS s3_outcomes (
  document_id text, source_bucket text, source_key text, source_etag text, source_size bigint, storage_class text,
  target_bucket text, target_key text, target_etag text, target_version text, target_checksum text, state text,
  attempts integer, error_code text, error_message text, request_id text
) ON COMMIT DELETE ROWS;

-- name: copy_outcomes
-- Copy the batch into it.
COPY s3_outcomes FROM STDIN (FORMAT binary);

-- name: record_outcomes
-- Merge a batch of outcomes into the ledger, but leave records alone that would not change.
INSERT INTO s3_migration_documents AS m (tenant_id, document_id, source_bucket, source_key, source_etag, source_size, storage_class,
  target_bucket, target_key, target_etag, target_version, target_checksum, state, attempts, error_code, error_message, request_id,
  run_id, updated_at)
SELECT %(tenant_id)s, document_id::{document_id_type}, source_bucket, source_key, source_etag, source_size, storage_class,
  target_bucket, target_key, target_etag, target_version, target_checksum, state, attempts, error_code, error_message, request_id,
  %(run_id)s, now()
FROM s3_outcomes
ON CONFLICT (tenant_id, document_id) DO UPDATE SET
  source_bucket = excluded.source_bucket, source_key = excluded.source_key, source_etag = excluded.source_etag,
  source_size = excluded.source_size, storage_class = excluded.storage_class, target_bucket = excluded.target_bucket,
  target_key = excluded.target_key, target_etag = excluded.target_etag, target_version = excluded.target_version,
  target_checksum = excluded.target_checksum, state = excluded.state,
  attempts = CASE WHEN excluded.attempts = 0 THEN 0 ELSE m.attempts + excluded.attempts END,
  error_code = excluded.error_code, error_message = excluded.error_message, request_id = excluded.request_id,
  run_id = excluded.run_id, updated_at = now()
WHERE (m.state, m.source_bucket, m.source_key, m.source_etag, m.target_key, m.target_etag, m.error_code)
  IS DISTINCT FROM (excluded.state, excluded.source_bucket, excluded.source_key, excluded.source_etag, excluded.target_key,
    excluded.target_etag, excluded.error_code);

-- name: waiting_copies
-- Return the copies that are not flipped yet, in S3's order of keys.
SELECT target_key, document_id, source_etag, source_size, CASE WHEN attempts > 0 THEN target_etag END AS answered_etag,
  source_bucket, source_key
FROM s3_migration_documents WHERE tenant_id = %(tenant_id)s AND state = 'copied' ORDER BY target_key COLLATE "C";

-- name: count_copies
-- Count the copies that this run can still flip (not those whose rows refused in this run), and the objects of this migration in
-- the home.
SELECT count(*) FILTER (WHERE state = 'copied' AND NOT (run_id = %(run_id)s AND coalesce(error_code, '') = %(row_refused)s)) AS waiting,
  count(*) FILTER (WHERE state IN ('copied', 'flipped', 'superseded')) AS at_home
FROM s3_migration_documents WHERE tenant_id = %(tenant_id)s;

-- name: drop_copy
-- Send a copy that is wrong back to copying. Its recorded ETag stays the condition of the next copy, because the object that was
-- found instead may belong to somebody else.
UPDATE s3_migration_documents SET state = 'planned', error_code = %(code)s, error_message = %(message)s,
  request_id = %(request_id)s, run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND state = 'copied';

-- name: record_copy_fault
-- Record why a copy was not flipped: its source could not be checked, or its row refused.
UPDATE s3_migration_documents SET error_code = %(code)s, error_message = %(message)s, request_id = %(request_id)s,
  run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND state = 'copied';

-- name: lock_null_buckets
-- Lock the next rows that have a key and no bucket, in order of id. Rows that are locked by others are left for later.
SELECT {documents.id} AS document_id FROM {documents}
WHERE {documents.tenant_id} = %(tenant_id)s AND {documents.s3_key} <> '' AND coalesce({documents.s3_bucket}, '') = ''
  AND (%(after)s::{document_id_type} IS NULL OR {documents.id} > %(after)s)
ORDER BY {documents.id} LIMIT %(limit)s FOR {row_lock} SKIP LOCKED;

-- name: name_buckets
-- Write down what an empty bucket means: the first shared bucket.
UPDATE {documents} SET {documents.s3_bucket} = %(default_bucket)s
WHERE {documents.tenant_id} = %(tenant_id)s AND {documents.id} = ANY(%(document_ids)s::{document_id_type}[]);

-- name: name_null_bucket_of
-- Do the same for one row, if its bucket is empty.
UPDATE {documents} SET {documents.s3_bucket} = %(default_bucket)s
WHERE {documents.tenant_id} = %(tenant_id)s AND {documents.id} = %(document_id)s AND coalesce({documents.s3_bucket}, '') = '';

-- name: count_named
-- Count how many of these rows have the bucket now, because a trigger or a rule may have prevented the change.
SELECT count(*) AS count FROM {documents}
WHERE {documents.tenant_id} = %(tenant_id)s AND {documents.id} = ANY(%(document_ids)s::{document_id_type}[])
  AND {documents.s3_bucket} = %(default_bucket)s;

-- name: check_at_once
-- Check deferred constraints with each statement instead of at the commit, so that a refused row is known while others continue.
SET CONSTRAINTS ALL IMMEDIATE;

-- name: prepare_batch
-- Do the same, and make the planner look up the rows of a batch one by one, in order of id. Its statistics may say that the tenant
-- has a handful of rows; it would then read all of them for each batch.
SET CONSTRAINTS ALL IMMEDIATE;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL max_parallel_workers_per_gather = 0;

-- name: lock_copies
-- Lock the next copies whose rows still point to their sources, in order of id. Rows that are locked by others are left for a
-- later pass, rows that refused in this run for the next run. The ledger is looked up by key for each row (OFFSET 0), because
-- the planner does not know yet how many documents were copied.
SELECT m.document_id, m.state, m.source_bucket, m.source_key, m.source_etag, m.target_bucket, m.target_key, m.target_etag
FROM {documents} d JOIN LATERAL (
  SELECT * FROM s3_migration_documents o
  WHERE o.tenant_id = d.{documents.tenant_id} AND o.document_id = d.{documents.id} AND o.state = 'copied'
    AND NOT (o.run_id = %(run_id)s AND coalesce(o.error_code, '') = %(row_refused)s) OFFSET 0) m ON true
WHERE d.{documents.tenant_id} = %(tenant_id)s AND (%(after)s::{document_id_type} IS NULL OR d.{documents.id} > %(after)s)
  AND d.{documents.s3_bucket} = m.source_bucket AND d.{documents.s3_key} = m.source_key
ORDER BY d.{documents.id} LIMIT %(limit)s FOR {row_lock} OF d SKIP LOCKED;

-- name: claimed_by_others
-- Return those of the keys that another tenant claims now: a row points there, or a document was moved from there. Each key is
-- looked up separately (OFFSET 0), because a plan for all of them at once reads the whole ledger for each batch.
SELECT k.key FROM unnest(%(keys)s::text[]) k (key)
JOIN LATERAL (SELECT 1 FROM {documents} d
  WHERE d.{documents.s3_bucket} = %(bucket)s AND d.{documents.s3_key} = k.key AND d.{documents.tenant_id} <> %(tenant_id)s
    AND {documents.is_indexed} OFFSET 0) r ON true
UNION ALL
SELECT k.key FROM unnest(%(keys)s::text[]) k (key)
JOIN LATERAL (SELECT 1 FROM {documents} d
  WHERE d.{documents.s3_bucket} IS NULL AND d.{documents.s3_key} = k.key AND d.{documents.tenant_id} <> %(tenant_id)s
    AND {documents.is_indexed} OFFSET 0) r
  ON %(bucket)s = %(default_bucket)s
UNION ALL
SELECT k.key FROM unnest(%(keys)s::text[]) k (key)
JOIN LATERAL (SELECT 1 FROM {documents} d
  WHERE d.{documents.s3_bucket} = '' AND d.{documents.s3_key} = k.key AND d.{documents.tenant_id} <> %(tenant_id)s
    AND {documents.is_indexed} OFFSET 0) r
  ON %(bucket)s = %(default_bucket)s
UNION ALL
SELECT k.key FROM unnest(%(keys)s::text[]) k (key)
JOIN LATERAL (SELECT 1 FROM s3_migration_documents m
  WHERE m.source_bucket = %(bucket)s AND m.source_key = k.key AND m.tenant_id <> %(tenant_id)s
    AND m.state IN {states.moved} OFFSET 0) r ON true;

-- name: flip_documents
-- Flip the rows: bucket, key, the object's true size, and its ETag (quoted if the row's ETag was quoted). The ledger is looked up
-- by key (OFFSET 0), and the row by what is found there, as in lock_copies.
UPDATE {documents} d SET {documents.s3_bucket} = m.target_bucket, {documents.s3_key} = m.target_key,
  {documents.file_size} = m.source_size, -- if documents.file_size
  {documents.etag} = CASE WHEN d.{documents.etag} LIKE '"%%' THEN '"' || m.target_etag || '"' ELSE m.target_etag END, -- if documents.etag
  s3_version_id = m.target_version, s3_checksum = m.target_checksum,
  s3_migrated_at = CASE WHEN m.target_bucket = %(home_bucket)s THEN now() END
FROM unnest(%(document_ids)s::{document_id_type}[]) k (document_id) JOIN LATERAL (
  SELECT * FROM s3_migration_documents o
  WHERE o.tenant_id = %(tenant_id)s AND o.document_id = k.document_id AND o.state = 'copied' OFFSET 0) m ON true
WHERE d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
  AND d.{documents.s3_bucket} = m.source_bucket AND d.{documents.s3_key} = m.source_key;

-- name: record_flips
-- Record the flips in the same transaction, but only of rows that really point to their copies now: triggers and rules may have
-- changed the effect of the statement before. Without an ETag of a source there was none: it counts as removed.
UPDATE s3_migration_documents m SET state = CASE WHEN m.source_etag IS NULL THEN 'removed' ELSE 'flipped' END, flipped_at = now(), error_code = NULL, error_message = NULL,
  request_id = NULL, run_id = %(run_id)s, updated_at = now()
FROM unnest(%(document_ids)s::{document_id_type}[]) k (document_id) JOIN LATERAL (
  SELECT {documents.tenant_id} AS tenant_id, {documents.id} AS id, {documents.s3_bucket} AS bucket, {documents.s3_key} AS key,
    'copied' AS state
  FROM {documents} WHERE {documents.tenant_id} = %(tenant_id)s AND {documents.id} = k.document_id OFFSET 0) d ON true
WHERE m.tenant_id = d.tenant_id AND m.document_id = d.id AND m.state = d.state
  AND m.target_bucket = d.bucket AND m.target_key = d.key;

-- name: columns_of_index
-- Return the columns of a unique index without expressions, in the index's order. The index must be on the document's own
-- table or on another partition of it, because a trigger may have written to other tables.
SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(number, place)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place) AS names
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE n.nspname = %(schema)s AND t.relname = %(table)s AND x.relname = %(index)s AND i.indisunique AND i.indexprs IS NULL
  AND EXISTS (SELECT 1 FROM {documents} d WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
    AND (d.tableoid = t.oid OR pg_partition_root(d.tableoid) = pg_partition_root(t.oid)));

-- name: rows_beside_flipped
-- Return the other rows `d`, joined with the row `f` as a document's row would be after its flip. The caller adds the comparison.
SELECT d.{documents.id} AS document_id
FROM (SELECT to_jsonb(o) || to_jsonb(new) AS row, o.{documents.tenant_id} AS tenant_id, o.{documents.id} AS document_id
  FROM {documents} o JOIN s3_migration_documents m ON m.document_id = o.{documents.id} AND m.tenant_id = o.{documents.tenant_id}
  CROSS JOIN LATERAL (SELECT
    m.source_size AS {documents.file_size}, -- if documents.file_size
    CASE WHEN o.{documents.etag} LIKE '"%%' THEN '"' || m.target_etag || '"' ELSE m.target_etag END AS {documents.etag}, -- if documents.etag
    m.target_bucket AS {documents.s3_bucket}, m.target_key AS {documents.s3_key}) new
  WHERE m.tenant_id = %(tenant_id)s AND m.document_id = %(document_id)s::{document_id_type} AND m.state = 'copied') become
CROSS JOIN LATERAL jsonb_populate_record(NULL::{documents}, become.row) f
JOIN {documents} d ON NOT (d.{documents.id} = become.document_id AND d.{documents.tenant_id} = become.tenant_id);

-- name: supersede_copies
-- Mark copies whose rows moved or were deleted, so that no row will point to them.
UPDATE s3_migration_documents m SET state = 'superseded', run_id = %(run_id)s, updated_at = now()
WHERE m.tenant_id = %(tenant_id)s AND m.state IN {states.unmoved} AND NOT EXISTS (
  SELECT 1 FROM {documents} d WHERE d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
    AND coalesce(nullif({bucket_told.d}, ''), %(default_bucket)s) = m.source_bucket AND {key_told.d} = m.source_key);

-- name: prepare_stream
-- Forbid nested loops for a query that reads a whole tenant or bucket. Right after copies or flips the planner has no statistics and
-- expects one row. It would then search the whole ledger for each document: 25 seconds for 10,000 documents.
SET LOCAL enable_nestloop = off;

-- name: documents_at_home
-- Return what the home must hold, in S3's order of keys: the rows that point to it. If a row's ETag is not the copy's any
-- more, the application wrote the object later, so the row's own ETag counts and there is no source.
SELECT * FROM (
  SELECT {key_told.d} COLLATE "C" AS key, d.{documents.id} AS document_id, m.source_etag, m.source_size,
    CASE WHEN m.attempts > 0 THEN m.target_etag END AS answered_etag, d.{documents.etag} AS row_etag,
    m.source_bucket, m.source_key
  FROM {documents.rows} d LEFT JOIN s3_migration_documents m ON m.tenant_id = d.{documents.tenant_id}
    AND m.document_id = d.{documents.id} AND m.target_bucket = d.{documents.s3_bucket} AND m.target_key = d.{documents.s3_key}
    AND m.state = 'flipped' AND coalesce(btrim(d.{documents.etag}, '"'), m.target_etag) = nullif(m.target_etag, '')
  WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.s3_bucket} = %(home_bucket)s AND d.{documents.s3_key} <> ''
) pointed ORDER BY key;

-- name: known_targets
-- Return those of the keys in the home that are copies of ours to which no row points (not flipped yet, or superseded).
SELECT target_key FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s AND target_key = ANY(%(keys)s);

-- name: outstanding_documents
-- Return the documents that could not be moved, with the reason. After the cutover a copy that is not flipped counts as well.
SELECT m.document_id, m.source_bucket, m.source_key, m.state, m.error_code,
  coalesce(m.error_message, CASE WHEN m.state = 'copied' THEN 'not flipped yet: its row was locked, or the run was stopped' END) AS error_message,
  m.request_id, m.attempts
FROM s3_migration_documents m
WHERE m.tenant_id = %(tenant_id)s AND (m.state IN {states.stuck} OR m.state = 'copied' AND %(is_cut_over)s)
ORDER BY m.document_id;

-- name: accept_document
-- Accept that a document stays where it is; return whether it was already accepted in this state.
INSERT INTO s3_migration_documents AS m (tenant_id, document_id, source_bucket, source_key, state, run_id, updated_at)
SELECT d.{documents.tenant_id}, d.{documents.id}, coalesce(nullif({bucket_told.d}, ''), %(default_bucket)s), {key_told.d},
  'accepted', %(run_id)s, now()
FROM {documents} d WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
  AND d.{documents.s3_key} <> '' AND d.{documents.s3_bucket} IS DISTINCT FROM %(home_bucket)s
ON CONFLICT (tenant_id, document_id) DO UPDATE SET state = 'accepted', source_bucket = excluded.source_bucket,
  source_key = excluded.source_key, run_id = excluded.run_id, updated_at = now()
RETURNING EXISTS (SELECT 1 FROM s3_migration_documents o WHERE o.tenant_id = m.tenant_id AND o.document_id = m.document_id
  AND o.state = 'accepted' AND o.source_bucket = m.source_bucket AND o.source_key = m.source_key) AS was_accepted;

-- name: documents_of_missing_tenants
-- Count the rows that name a tenant which does not exist, and how many such tenants they name.
SELECT count(*) AS rows, count(DISTINCT d.{documents.tenant_id}) AS tenants FROM {documents.rows} d
WHERE d.{documents.tenant_id} IS NOT NULL AND NOT EXISTS (
  SELECT 1 FROM {tenants} t WHERE t.{tenants.id} = d.{documents.tenant_id});

-- name: documents_without_tenant
-- Count the rows without a tenant, which stay where they are.
SELECT count(*) AS count FROM {documents.rows} d WHERE d.{documents.tenant_id} IS NULL;

-- name: failure_codes
-- The codes of all documents that carry one, of every tenant.
SELECT DISTINCT error_code AS code FROM s3_migration_documents WHERE error_code IS NOT NULL;

-- name: failed_documents
-- Return the documents that could not be moved, optionally only those with one code.
SELECT document_id FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND state IN {states.unmoved} AND error_code IS NOT NULL
  AND (%(code)s::text IS NULL OR error_code = %(code)s::text);

-- name: canary_copies
-- Return some verified copies that are not flipped yet, which the application will read.
SELECT document_id, target_bucket, target_key, target_etag, source_size FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND state = 'copied' ORDER BY document_id LIMIT %(count)s;

-- name: canary_rows
-- Return some documents whose rows this run flipped, as the application finds them.
SELECT m.document_id, m.target_bucket, m.target_key, m.target_etag, m.source_size
FROM s3_migration_documents m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
WHERE m.tenant_id = %(tenant_id)s AND m.run_id = %(run_id)s AND m.state = 'flipped'
  AND d.{documents.s3_bucket} = m.target_bucket AND d.{documents.s3_key} = m.target_key
ORDER BY m.flipped_at DESC, m.document_id LIMIT %(count)s;
