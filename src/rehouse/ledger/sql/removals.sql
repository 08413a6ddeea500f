-- name: page_of_flipped
-- Return a page of the moved documents in some states, by keyset, with where their rows point now: all of them, or those with
-- some keys of sources. A conflict stays a fault, and so does a fault of this run. A fault of an earlier run is tried again. If
-- the row was deleted, no fault counts.
SELECT m.document_id, m.state, m.source_bucket, m.source_key, m.source_etag, coalesce(m.source_size, 0) AS source_size, m.target_bucket,
  m.target_key, m.target_etag,
  CASE WHEN d.{documents.id} IS NOT NULL AND (m.error_code = 'Conflict' OR m.run_id = %(run_id)s) THEN m.error_code END AS fault,
  coalesce(m.flipped_at <= now() - %(grace)s::interval, true) AS is_old_enough,
  coalesce(d.{documents.s3_bucket} = m.target_bucket AND d.{documents.s3_key} = m.target_key, false) AS points_to_target,
  btrim(d.{documents.etag}, '"') AS row_etag, d.{documents.id} IS NULL AS is_row_gone,
  coalesce(m.error_code IN {staying_codes}, false) AS is_marked
FROM (
  SELECT * FROM s3_migration_documents p
  WHERE p.tenant_id = %(tenant_id)s AND (%(after)s::{document_id_type} IS NULL OR p.document_id > %(after)s)
    AND p.target_bucket = %(home_bucket)s AND p.state = ANY(%(states)s)
    AND (%(source_keys)s::text[] IS NULL OR p.source_key = ANY(%(source_keys)s))
  ORDER BY p.document_id LIMIT %(limit)s) m
LEFT JOIN LATERAL (
  SELECT * FROM {documents.rows} o WHERE o.{documents.id} = m.document_id AND o.{documents.tenant_id} = m.tenant_id
  OFFSET 0) d ON true
ORDER BY m.document_id;

-- name: prepare_pointers
-- Make the planner find rows by the object to which they point. A plan that reads all documents for each batch takes quadratic
-- time, and starting parallel workers takes longer than the lookup.
SELECT set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true);

-- name: rows_at
-- Return those of the objects to which a row of any tenant points. A row with a key and no bucket means the first shared bucket.
SELECT {documents.s3_bucket} AS bucket, {documents.s3_key} AS key FROM {documents}
WHERE {documents.s3_bucket} = ANY(%(buckets)s) AND {documents.s3_key} = ANY(%(keys)s) AND {documents.is_indexed}
UNION ALL
SELECT %(default_bucket)s, {documents.s3_key} FROM {documents}
WHERE {documents.s3_bucket} IS NULL AND {documents.s3_key} = ANY(%(keys)s) AND {documents.is_indexed}
UNION ALL
SELECT %(default_bucket)s, {documents.s3_key} FROM {documents}
WHERE {documents.s3_bucket} = '' AND {documents.s3_key} = ANY(%(keys)s) AND {documents.is_indexed};

-- name: documents_sharing_sources
-- Return the moved documents whose source another document of the tenant has too, and whether it has to stay for that one: it
-- is not flipped, was flipped less than the grace ago, has its target in another bucket, or has a fault that no pass over the
-- sources recorded. A pass judges the others together. Records of other tenants do not count, because an object that two
-- tenants claim is never copied. An accepted document does not count: as long as it exists, its row points to the source, which
-- keeps it.
SELECT m.document_id, bool_or(o.state IN {states.unmoved} OR o.flipped_at > now() - %(grace)s::interval
    OR o.target_bucket IS DISTINCT FROM %(home_bucket)s OR coalesce(o.error_code NOT IN {staying_codes}, false)) AS is_waited_for
FROM s3_migration_documents m
JOIN s3_migration_documents o ON o.tenant_id = m.tenant_id AND o.source_bucket = m.source_bucket AND o.source_key = m.source_key
  AND o.document_id <> m.document_id
WHERE m.tenant_id = %(tenant_id)s AND m.state IN {states.moved_with_source}
  AND (o.state IN {states.unmoved} OR o.state IN {states.moved_with_source})
GROUP BY m.document_id;

-- name: mark_removing
-- Committed before the first request that removes, so that a later run knows that the sources may be gone.
UPDATE s3_migration_documents SET state = 'removing', error_code = NULL, error_message = NULL, request_id = NULL,
  run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = ANY(%(document_ids)s::{document_id_type}[]) AND state IN {states.moved_with_source};

-- name: mark_removed
-- Record that the sources are removed.
UPDATE s3_migration_documents SET state = 'removed', error_code = NULL, error_message = NULL, request_id = NULL,
  run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = ANY(%(document_ids)s::{document_id_type}[]) AND state = 'removing';

-- name: keep_source
-- Record that a source stays, with the fault; without a fault it was written late, and the sweep has to check it.
UPDATE s3_migration_documents SET state = %(state)s, error_code = %(code)s, error_message = %(message)s,
  request_id = %(request_id)s, run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND state IN {states.moved_with_source};

-- name: record_stay
-- Record why a source stays; a conflict, or another fault of this run, is not replaced.
UPDATE s3_migration_documents SET error_code = %(code)s, error_message = %(message)s, request_id = NULL, run_id = %(run_id)s,
  updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND state IN {states.moved}
  AND (error_code IS NULL OR error_code IN {staying_codes} OR run_id <> %(run_id)s AND error_code <> 'Conflict');

-- name: clear_stays
-- Delete the recorded reasons why sources stay.
UPDATE s3_migration_documents SET error_code = NULL, error_message = NULL, request_id = NULL, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = ANY(%(document_ids)s::{document_id_type}[]) AND state IN {states.moved}
  AND error_code IN {staying_codes};

-- name: keep_unfinished
-- Record that sources stay which a killed run was removing; the faults that the sweep recorded stay too.
UPDATE s3_migration_documents SET state = 'flipped', run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = ANY(%(document_ids)s::{document_id_type}[]) AND state = 'removing';

-- name: source_put_back
-- Record that a removed source was restored because a row points to it. The document is flipped again, and its grace starts
-- again.
UPDATE s3_migration_documents SET state = 'flipped', source_etag = %(source_etag)s, source_size = %(source_size)s,
  flipped_at = now(), error_code = NULL, error_message = NULL, request_id = NULL, run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND state = 'removed';

-- name: count_removals
-- Count how far the removal is: sources removed and their bytes, sources left and how many are old enough, when the next one
-- will be, the documents that were not moved at all, and those for which a pass recorded why the source stays.
SELECT count(*) FILTER (WHERE m.state = 'removed') AS removed,
  coalesce(sum(m.source_size) FILTER (WHERE m.state = 'removed'), 0)::bigint AS removed_bytes,
  count(*) FILTER (WHERE m.state IN {states.moved_with_source}) AS left,
  count(*) FILTER (WHERE m.state = 'removing' OR m.state = 'flipped' AND m.flipped_at <= now() - %(grace)s::interval) AS old_enough,
  min(m.flipped_at) FILTER (WHERE m.state = 'flipped' AND m.flipped_at > now() - %(grace)s::interval) + %(grace)s::interval AS next_at,
  count(*) FILTER (WHERE m.state IN {states.unmoved}) AS not_moved,
  count(*) FILTER (WHERE m.state IN {states.moved} AND m.error_code IN {staying_codes}) AS marked
FROM s3_migration_documents m
WHERE m.tenant_id = %(tenant_id)s AND (m.target_bucket = %(home_bucket)s OR m.state IN {states.stuck});

-- name: due_sources
-- Return by bucket how many sources are old enough to be removed, and their bytes.
SELECT m.source_bucket AS bucket, count(*) AS sources, coalesce(sum(m.source_size), 0)::bigint AS size
FROM s3_migration_documents m
WHERE m.tenant_id = %(tenant_id)s AND m.target_bucket = %(home_bucket)s
  AND (m.state = 'removing' OR m.state = 'flipped' AND m.flipped_at <= now() - %(grace)s::interval)
GROUP BY m.source_bucket ORDER BY m.source_bucket;
