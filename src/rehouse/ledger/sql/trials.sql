-- name: trial_candidates
-- Copies to try a flip with, of each table or partition that holds some: those with the longest keys first.
SELECT c.kind, c.document_id FROM (
  SELECT d.tableoid::regclass::text AS kind, m.document_id,
    row_number() OVER (PARTITION BY d.tableoid ORDER BY length(m.target_key) DESC, m.document_id) AS place
  FROM s3_migration_documents m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
  WHERE m.tenant_id = %(tenant_id)s AND m.state = 'copied' AND d.{documents.tenant_id} = %(tenant_id)s
    AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) = m.source_bucket AND d.{documents.s3_key} = m.source_key
) c
WHERE c.place <= %(limit)s ORDER BY c.kind, c.place;

-- name: lock_for_trial
-- The row of a copy, if it is as it was copied and nobody holds it.
SELECT 1 FROM s3_migration_documents m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
WHERE m.tenant_id = %(tenant_id)s AND m.document_id = %(document_id)s AND m.state = 'copied'
  AND d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
  AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) = m.source_bucket AND d.{documents.s3_key} = m.source_key
FOR {row_lock} OF d SKIP LOCKED;

-- name: home_now
-- Whether the tenant's row names the home, and whether it names what it named before: triggers and rules may have had their say.
SELECT {tenants.aws_bucket_name} = %(home_bucket)s, {tenants.aws_bucket_name} IS NOT DISTINCT FROM %(previous_home)s
FROM {tenants} WHERE {tenants.id} = %(tenant_id)s;
