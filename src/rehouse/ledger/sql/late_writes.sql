-- name: count_moved
-- Count the documents that this migration moved home, whose sources may therefore get a late write.
SELECT count(*) AS moved FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s AND state IN {states.moved};

-- name: sources_of_moved
-- Return the sources of moved documents; with only_failed only of those with a fault, optionally of one code.
SELECT document_id, source_bucket, source_key FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s AND state IN {states.moved}
  AND (NOT %(only_failed)s OR error_code IS NOT NULL AND (%(code)s::text IS NULL OR error_code = %(code)s));

-- name: late_suspects
-- Return the documents at home whose source, as this run saw it, changed after the copy or exists again after its removal, and
-- those with a fault, unless a removal recorded it: no sweep settles that. The inventory is looked up by key for each record
-- (OFFSET 0), because it holds the objects of every tenant. `contested`: the object may now belong to another document that
-- reused the key, because another record of the tenant knows a different object there.
SELECT m.document_id, m.state, m.source_bucket, m.source_key, m.source_etag, m.target_bucket, m.target_key, m.target_etag,
  coalesce(i.contested, false) OR (m.source_bucket, m.source_key) IN (
    SELECT source_bucket, source_key FROM s3_migration_documents WHERE tenant_id = %(tenant_id)s
    GROUP BY source_bucket, source_key
    HAVING min(coalesce(source_etag, '')) <> max(coalesce(source_etag, ''))
      OR bool_or(state = 'removed') AND bool_or(state IN {states.moved_with_source})) AS contested
FROM s3_migration_documents m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
LEFT JOIN LATERAL (
  SELECT etag, contested FROM s3_inventory o WHERE o.run_id = %(run_id)s AND o.bucket = m.source_bucket COLLATE "C"
    AND o.key = m.source_key OFFSET 0) i ON true
WHERE m.tenant_id = %(tenant_id)s AND m.target_bucket = %(home_bucket)s AND m.state IN {states.moved}
  AND d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.s3_bucket} = %(home_bucket)s
  AND (m.error_code NOT IN {staying_codes} OR i.etag <> m.source_etag OR i.etag IS NOT NULL AND m.state = 'removed')
ORDER BY m.document_id;

-- name: late_row
-- Return where a document's row points, without locking it, so it may change before it is locked.
SELECT coalesce(nullif({documents.s3_bucket}, ''), %(default_bucket)s) AS bucket, coalesce({documents.s3_key}, '') AS key FROM {documents}
WHERE {documents.id} = %(document_id)s AND {documents.tenant_id} = %(tenant_id)s;

-- name: lock_late_row
-- Lock a document's row, so that no writer that locks the row is changing its object.
SELECT coalesce(nullif({documents.s3_bucket}, ''), %(default_bucket)s) AS bucket, coalesce({documents.s3_key}, '') AS key FROM {documents}
WHERE {documents.id} = %(document_id)s AND {documents.tenant_id} = %(tenant_id)s FOR {row_lock} SKIP LOCKED;

-- name: is_row_there
-- Distinguish a row that is locked by others from a row that was deleted.
SELECT 1 FROM {documents} WHERE {documents.id} = %(document_id)s AND {documents.tenant_id} = %(tenant_id)s;

-- name: record_late_copy
-- Record a late write that was copied home: the new source and copy count, and the grace starts again.
UPDATE s3_migration_documents SET source_etag = %(source_etag)s, source_size = %(source_size)s, storage_class = %(storage_class)s,
  target_etag = %(target_etag)s, target_version = %(version)s, target_checksum = %(checksum)s, attempts = %(attempts)s,
  state = 'flipped', flipped_at = now(), error_code = NULL, error_message = NULL, request_id = NULL, late_etag = NULL,
  run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s;

-- name: follow_late_copy
-- Update the row in the same transaction: its pointer stays, its size and ETag change.
UPDATE {documents} SET
  {documents.file_size} = %(source_size)s, -- if documents.file_size
  {documents.etag} = CASE WHEN {documents.etag} LIKE '"%%' THEN '"' || %(target_etag)s || '"' ELSE %(target_etag)s END, -- if documents.etag
  s3_version_id = %(version)s, s3_checksum = %(checksum)s
WHERE {documents.id} = %(document_id)s AND {documents.tenant_id} = %(tenant_id)s;

-- name: record_late_fault
-- Record why a late write is not home yet. A record that would not change is left alone, except that a fault which was met again
-- becomes this run's, because the removal of sources depends on that.
UPDATE s3_migration_documents SET error_code = %(code)s, error_message = %(message)s, request_id = %(request_id)s,
  late_etag = %(late_etag)s, run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s
  AND ((error_code, late_etag, error_message) IS DISTINCT FROM (%(code)s::text, %(late_etag)s::text, %(message)s::text)
    OR %(code)s::text <> 'Conflict' AND run_id IS DISTINCT FROM %(run_id)s::uuid);

-- name: clear_late_fault
-- Clear the fault: the source is unchanged since the copy, or gone.
UPDATE s3_migration_documents SET error_code = NULL, error_message = NULL, request_id = NULL, late_etag = NULL,
  run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND error_code IS NOT NULL;

-- name: outstanding_late_writes
-- Return the documents at home with a fault: a late write that was not copied home, or a source that could not be removed or
-- that stays, whether its row is there or not.
SELECT m.document_id, m.source_bucket, m.source_key, m.state, m.error_code, m.error_message, m.request_id, m.attempts
FROM s3_migration_documents m
WHERE m.tenant_id = %(tenant_id)s AND m.target_bucket = %(home_bucket)s AND m.state IN {states.moved}
  AND m.error_code IS NOT NULL AND (m.error_code IN {staying_codes} OR EXISTS (SELECT 1 FROM {documents.rows} d
    WHERE d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id))
ORDER BY m.document_id;

-- name: accept_late_write
-- Accept the object in the home. The late one counts as the source until it is removed after the grace. It was not copied
-- home, so the object there does not count as its copy: no rollback leads to the late one, and a later write is a new
-- conflict.
UPDATE s3_migration_documents SET source_etag = late_etag, late_etag = NULL,
  target_etag = CASE WHEN target_bucket = %(home_bucket)s THEN '' ELSE target_etag END, state = 'flipped', flipped_at = now(),
  error_code = NULL, error_message = NULL, request_id = NULL, run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND document_id = %(document_id)s AND error_code = 'Conflict' AND late_etag IS NOT NULL
RETURNING 1;
