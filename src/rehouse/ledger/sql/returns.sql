-- name: page_at_home
-- Return a page of the tenant's documents at home, by keyset, with the object at home and the object at the other end of the
-- ledger's record, as this run saw them. Each is looked up by key (OFFSET 0), as in page_of_documents.
SELECT d.{documents.id} AS document_id, d.{documents.tenant_id} AS tenant_id, {name_told.d} AS name,
  d.{documents.s3_bucket} AS bucket, {key_told.d} AS key, left(d.{documents.etag}, 255) AS row_etag,
  {uploaded_at_told.d} AS uploaded_at,
  h.etag AS seen_etag, h.size AS seen_size, h.storage_class AS seen_storage_class, h.modified_at AS seen_modified_at,
  o.etag AS there_etag, o.size AS there_size, o.storage_class AS there_storage_class, o.modified_at AS there_modified_at,
  m.state, m.source_bucket, m.source_key, m.source_etag, m.target_bucket, m.target_key, m.target_etag, m.attempts, m.error_code
FROM (
  SELECT * FROM {documents.rows} p
  WHERE p.{documents.tenant_id} = %(tenant_id)s AND (%(after)s::{document_id_type} IS NULL OR p.{documents.id} > %(after)s)
    AND {id_is_readable.p} AND p.{documents.s3_key} <> '' AND p.{documents.s3_bucket} = %(home_bucket)s
  ORDER BY p.{documents.id} LIMIT %(limit)s) d
LEFT JOIN LATERAL (
  SELECT * FROM s3_migration_documents o
  WHERE o.tenant_id = d.{documents.tenant_id} AND o.document_id = d.{documents.id} OFFSET 0) m ON true
LEFT JOIN LATERAL (
  SELECT * FROM s3_inventory o WHERE o.run_id = %(run_id)s
    AND o.bucket = d.{documents.s3_bucket} COLLATE "C" AND o.key = d.{documents.s3_key} COLLATE "C" OFFSET 0) h ON true
LEFT JOIN LATERAL (
  SELECT * FROM s3_inventory o WHERE o.run_id = %(run_id)s
    AND o.bucket = CASE WHEN m.target_bucket = %(home_bucket)s THEN m.source_bucket ELSE m.target_bucket END COLLATE "C"
    AND o.key = CASE WHEN m.target_bucket = %(home_bucket)s THEN m.source_key ELSE m.target_key END OFFSET 0) o ON true
ORDER BY d.{documents.id};

-- name: known_differently
-- Return objects of a shared bucket for which the tenant's records have different ETags, because another document reused the key.
SELECT bucket, key FROM (
  SELECT source_bucket AS bucket, source_key AS key, source_etag AS etag FROM s3_migration_documents
  WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s
  UNION ALL
  SELECT target_bucket, target_key, target_etag FROM s3_migration_documents
  WHERE tenant_id = %(tenant_id)s AND source_bucket = %(home_bucket)s) known
WHERE key = ANY(%(keys)s)
GROUP BY bucket, key HAVING min(coalesce(etag, '')) <> max(coalesce(etag, ''));

-- name: supersede_forward
-- Mark copies in the home that no row will point to any more, and documents that could not be copied, which stay where they are.
UPDATE s3_migration_documents SET state = 'superseded', run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s AND state IN {states.unmoved};

-- name: keep_at_home
-- Reverse the record of a return that was not flipped: the document stays where the migration moved it, and the place to which
-- it would have returned is its source. That object may have been written since. So its ETag is kept only if it is that of the
-- object at home, and otherwise left empty, so that the next sweep checks for a late write.
UPDATE s3_migration_documents m SET source_bucket = m.target_bucket, source_key = m.target_key,
  source_etag = CASE WHEN m.target_etag = m.source_etag THEN m.target_etag ELSE '' END,
  target_bucket = m.source_bucket, target_key = m.source_key, target_etag = m.source_etag, target_version = NULL,
  target_checksum = NULL, attempts = 0, state = 'flipped', flipped_at = now(), error_code = NULL, error_message = NULL,
  request_id = NULL, run_id = %(run_id)s, updated_at = now()
WHERE m.tenant_id = %(tenant_id)s AND m.source_bucket = %(home_bucket)s
  AND (m.state = 'copied' OR m.state IN {states.stuck} AND m.attempts = 0 AND m.target_etag IS NOT NULL)
  AND EXISTS (
    SELECT 1 FROM {documents} d WHERE d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
      AND d.{documents.s3_bucket} = m.source_bucket AND d.{documents.s3_key} = m.source_key);

-- name: supersede_returns
-- Mark the returns that could not be prepared; nothing waits for them any more.
UPDATE s3_migration_documents SET state = 'superseded', run_id = %(run_id)s, updated_at = now()
WHERE tenant_id = %(tenant_id)s AND source_bucket = %(home_bucket)s AND state IN {states.unmoved};

-- name: return_home
-- Compare-and-set of the application's own column. From here on uploads go to the previous bucket again.
UPDATE {tenants} SET {tenants.aws_bucket_name} = %(previous_home)s
WHERE {tenants.id} = %(tenant_id)s AND {tenants.aws_bucket_name} = %(home_bucket)s RETURNING 1;

-- name: count_returns
-- Count the documents that were returned, the rows at home, and how many of these the migration did not move there.
SELECT
  (SELECT count(*) FROM s3_migration_documents
   WHERE tenant_id = %(tenant_id)s AND state = 'flipped' AND source_bucket = %(home_bucket)s) AS returned,
  count(*) AS at_home,
  count(*) FILTER (WHERE m.document_id IS NULL
    OR NOT (m.target_bucket = %(home_bucket)s AND m.target_key = d.{documents.s3_key} AND m.state = 'flipped')
    AND NOT (m.source_bucket = %(home_bucket)s AND m.source_key = d.{documents.s3_key})) AS never_moved
FROM {documents.rows} d
LEFT JOIN s3_migration_documents m ON m.tenant_id = d.{documents.tenant_id} AND m.document_id = d.{documents.id}
WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.s3_bucket} = %(home_bucket)s AND d.{documents.s3_key} <> '';

-- name: row_of_line
-- Return the row of the document of the ledger record `m`, for a join. It is the tenant's own row, if it exists. Else it is a
-- row of another tenant with this id, if ids are unique or the row still points to where the document went.
SELECT o.* FROM {documents.rows} o WHERE o.{documents.tenant_id} = m.tenant_id AND o.{documents.id} = m.document_id
UNION ALL
SELECT o.* FROM {documents.rows} o WHERE {ids_are_unique} AND o.{documents.tenant_id} IS DISTINCT FROM m.tenant_id
  AND o.{documents.id} = m.document_id
UNION ALL
SELECT o.* FROM {documents.rows} o WHERE NOT {ids_are_unique} AND o.{documents.tenant_id} IS DISTINCT FROM m.tenant_id
  AND o.{documents.id} = m.document_id AND o.{documents.s3_bucket} = m.target_bucket AND o.{documents.s3_key} = m.target_key
LIMIT 1;

-- name: outstanding_returns
-- Return the documents that could not be returned, with the reason, those that were written at both ends, and those that were
-- written at home after they had been returned and given to another tenant.
SELECT m.document_id, m.source_bucket, m.source_key, m.state, m.error_code, m.error_message, m.request_id, m.attempts
FROM s3_migration_documents m JOIN LATERAL ({row_of_line}) d ON true
WHERE m.tenant_id = %(tenant_id)s AND (
  m.source_bucket = %(home_bucket)s AND m.state = 'flipped' AND m.error_code IS NOT NULL
  OR d.{documents.tenant_id} = m.tenant_id AND (
    m.source_bucket = %(home_bucket)s AND m.state IN {states.unmoved}
      AND d.{documents.s3_bucket} = m.source_bucket AND d.{documents.s3_key} = m.source_key
    OR m.target_bucket = %(home_bucket)s AND m.state = 'flipped' AND m.error_code IS NOT NULL
      AND d.{documents.s3_bucket} = m.target_bucket))
ORDER BY m.document_id;

-- name: late_writes_at_home
-- Return the returned documents whose object at home changed since, as this run saw it, and those with a fault. `contested`:
-- the object may belong to another document that reused the key, because another record of the tenant knows a different object
-- there. `given_away`: the row now belongs to another tenant.
SELECT m.document_id, {name.d} AS name, m.state, m.source_bucket, m.source_key, m.source_etag,
  m.target_bucket, m.target_key, m.target_etag, (m.source_bucket, m.source_key) IN (
    SELECT source_bucket, source_key FROM s3_migration_documents WHERE tenant_id = %(tenant_id)s
    GROUP BY source_bucket, source_key HAVING min(coalesce(source_etag, '')) <> max(coalesce(source_etag, ''))) AS contested,
  d.{documents.tenant_id} IS DISTINCT FROM m.tenant_id AS given_away
FROM s3_migration_documents m JOIN LATERAL ({row_of_line}) d ON true
JOIN s3_inventory i ON i.run_id = %(run_id)s AND i.bucket = m.source_bucket COLLATE "C" AND i.key = m.source_key
WHERE m.tenant_id = %(tenant_id)s AND m.source_bucket = %(home_bucket)s AND m.state = 'flipped'
  AND (i.etag <> m.source_etag OR m.error_code IS NOT NULL) AND d.{documents.s3_bucket} IS DISTINCT FROM %(home_bucket)s
ORDER BY m.document_id;

-- name: follow_late_copy_from_home
-- Point the row of a document that was written at home after its return to the copy of that write.
UPDATE {documents} SET {documents.s3_bucket} = %(target_bucket)s, {documents.s3_key} = %(target_key)s,
  {documents.file_size} = %(source_size)s, -- if documents.file_size
  {documents.etag} = CASE WHEN {documents.etag} LIKE '"%%' THEN '"' || %(target_etag)s || '"' ELSE %(target_etag)s END, -- if documents.etag
  s3_version_id = %(version)s, s3_checksum = %(checksum)s, s3_migrated_at = NULL
WHERE {documents.id} = %(document_id)s AND {documents.tenant_id} = %(tenant_id)s;

-- name: record_late_copy_from_home
-- Record that copy in the same transaction, if the row points to it now.
UPDATE s3_migration_documents m SET source_etag = %(source_etag)s, source_size = %(source_size)s, storage_class = %(storage_class)s,
  target_bucket = %(target_bucket)s, target_key = %(target_key)s, target_etag = %(target_etag)s, target_version = %(version)s,
  target_checksum = %(checksum)s, attempts = %(attempts)s, flipped_at = now(), error_code = NULL, error_message = NULL,
  request_id = NULL, late_etag = NULL, run_id = %(run_id)s, updated_at = now()
FROM {documents} d
WHERE m.tenant_id = %(tenant_id)s AND m.document_id = %(document_id)s
  AND d.{documents.tenant_id} = m.tenant_id AND d.{documents.id} = m.document_id
  AND d.{documents.s3_bucket} = %(target_bucket)s AND d.{documents.s3_key} = %(target_key)s;
