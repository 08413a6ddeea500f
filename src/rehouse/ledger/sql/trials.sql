-- name: trial_candidates
-- Return some copies to try a flip with. Each is looked up separately (OFFSET 0) until there are enough, without a join of the
-- whole tenant.
SELECT d.kind::regclass::text AS kind, m.document_id
FROM (SELECT * FROM s3_migration_documents o WHERE o.tenant_id = %(tenant_id)s AND o.state = 'copied' OFFSET 0) m
JOIN LATERAL (SELECT p.tableoid AS kind FROM {documents} p
  WHERE p.{documents.id} = m.document_id AND p.{documents.tenant_id} = m.tenant_id
    AND coalesce(nullif(p.{documents.s3_bucket}, ''), %(default_bucket)s) = m.source_bucket AND p.{documents.s3_key} = m.source_key
  OFFSET 0) d ON true
LIMIT %(limit)s;

-- name: trial_candidates_of_partitions
-- Do the same for a partitioned table: some copies of each partition that has any, in order of id.
SELECT c.kind::regclass::text AS kind, c.document_id FROM (
  SELECT d.tableoid AS kind, m.document_id,
    row_number() OVER (PARTITION BY d.tableoid ORDER BY m.document_id) AS place
  FROM s3_migration_documents m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
  WHERE m.tenant_id = %(tenant_id)s AND m.state = 'copied' AND d.{documents.tenant_id} = %(tenant_id)s
    AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) = m.source_bucket AND d.{documents.s3_key} = m.source_key
) c
WHERE c.place <= %(limit)s ORDER BY c.kind, c.place;

-- name: lock_for_trial
-- Lock the row of a copy, if it still points to the source and nobody else has locked it.
SELECT 1 FROM s3_migration_documents m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
WHERE m.tenant_id = %(tenant_id)s AND m.document_id = %(document_id)s AND m.state = 'copied'
  AND d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
  AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) = m.source_bucket AND d.{documents.s3_key} = m.source_key
FOR {row_lock} OF d SKIP LOCKED;

-- name: home_now
-- Return whether the tenant's row names the home, and whether it names the previous bucket, because triggers and rules may have
-- changed the effect of the switch.
SELECT {tenants.aws_bucket_name} = %(home_bucket)s AS is_home,
  {tenants.aws_bucket_name} IS NOT DISTINCT FROM %(previous_home)s AS is_as_before
FROM {tenants} WHERE {tenants.id} = %(tenant_id)s;

-- name: return_candidates
-- Return rows at home to try a flip back with, some of each table or partition, first those with a recorded source and no
-- fault. The columns are those of page_at_home, without objects.
SELECT c.kind::regclass::text AS kind, c.id AS document_id, c.tenant_id, c.name, c.bucket, c.key, NULL AS row_etag, NULL AS uploaded_at,
  NULL AS seen_etag, NULL AS seen_size, NULL AS seen_storage_class, NULL AS seen_modified_at,
  NULL AS there_etag, NULL AS there_size, NULL AS there_storage_class, NULL AS there_modified_at, c.state, c.source_bucket, c.source_key, c.source_etag, c.target_bucket, c.target_key, c.target_etag, c.attempts, c.error_code
FROM (
  SELECT d.tableoid AS kind, d.{documents.id} AS id, d.{documents.tenant_id} AS tenant_id, {name_told.d} AS name,
    d.{documents.s3_bucket} AS bucket, {key_told.d} AS key,
    m.state, m.source_bucket, m.source_key, m.source_etag, m.target_bucket, m.target_key, m.target_etag, m.attempts, m.error_code,
    row_number() OVER (PARTITION BY d.tableoid
      ORDER BY (m.state = 'flipped' AND m.error_code IS NULL) IS TRUE DESC, d.{documents.id}) AS place
  FROM {documents} d LEFT JOIN s3_migration_documents m ON m.tenant_id = d.{documents.tenant_id} AND m.document_id = d.{documents.id}
  WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.s3_bucket} = %(home_bucket)s AND d.{documents.s3_key} <> ''
    AND {id_is_readable.d} AND {key_fault.d} IS NULL
) c
WHERE c.place <= %(limit)s ORDER BY c.kind, c.place;

-- name: line_to_try
-- Record the return of one row and lock the row, if it is at home and nobody else has locked it.
INSERT INTO s3_migration_documents AS m (tenant_id, document_id, source_bucket, source_key, source_etag, source_size, storage_class,
  target_bucket, target_key, target_etag, state, attempts, run_id, updated_at)
SELECT d.{documents.tenant_id}, d.{documents.id}, d.{documents.s3_bucket}, d.{documents.s3_key}, %(source_etag)s, {bytes.d}::bigint,
  'STANDARD', %(target_bucket)s, %(target_key)s, %(target_etag)s, 'copied', 0, %(run_id)s, now()
FROM {documents} d
WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
  AND d.{documents.s3_bucket} = %(home_bucket)s AND d.{documents.s3_key} <> ''
FOR {row_lock} OF d SKIP LOCKED
ON CONFLICT (tenant_id, document_id) DO UPDATE SET source_bucket = excluded.source_bucket, source_key = excluded.source_key,
  source_etag = excluded.source_etag, source_size = coalesce(m.source_size, excluded.source_size),
  target_bucket = excluded.target_bucket, target_key = excluded.target_key, target_etag = excluded.target_etag,
  target_version = NULL, target_checksum = NULL, state = 'copied', run_id = excluded.run_id
RETURNING 1;
