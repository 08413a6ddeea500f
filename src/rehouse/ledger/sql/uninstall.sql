-- name: dependants
-- Return the tenants whose migration or rollback still needs the ledger, and how many documents it moved for each.
SELECT m.tenant_id::text AS tenant_id, m.phase, (
  SELECT count(*) FROM {s3_migration_documents} d WHERE d.tenant_id = m.tenant_id AND d.state IN {states.moved_with_source}) AS moved
FROM {s3_migrations} m
WHERE m.phase IN ('cut_over', 'released') OR (m.phase NOT IN ('finished', 'rolled_back') AND EXISTS (
  SELECT FROM {s3_migration_documents} d WHERE d.tenant_id = m.tenant_id AND d.state IN {states.moved_with_source}))
  OR m.phase = 'rolled_back' AND EXISTS ( -- on its way back: a row is still where the ledger moved it
  SELECT FROM {s3_migration_documents} d JOIN {documents.rows} r ON r.{documents.id} = d.document_id
    AND r.{documents.tenant_id} = d.tenant_id AND r.{documents.s3_bucket} = m.home_bucket
  WHERE d.tenant_id = m.tenant_id AND m.home_bucket IN (d.source_bucket, d.target_bucket))
ORDER BY m.tenant_id;

-- name: unswept_uploads
-- Count the uploads of the application's storage that are not confirmed or swept, and the objects that are still to be deleted.
SELECT (SELECT count(*) FROM {s3_upload_grants} g WHERE g.state <> 'confirmed') AS uploads,
  (SELECT count(*) FROM {s3_pending_deletions}) AS objects;

-- name: migrated_tenants
-- Return every tenant in the ledger; a command that works on one of them prevents the removal.
SELECT DISTINCT tenant_id FROM {s3_migrations} ORDER BY 1;

-- name: own_triggers_dropped
-- Drop the triggers of every version.
DROP TRIGGER IF EXISTS rehouse_usage_insert ON {documents};
DROP TRIGGER IF EXISTS rehouse_usage_delete ON {documents};
DROP TRIGGER IF EXISTS rehouse_usage_update ON {documents};
DROP TRIGGER IF EXISTS rehouse_usage_truncate ON {documents};
DROP TRIGGER IF EXISTS rehouse_documents_arrived ON {documents};
DROP TRIGGER IF EXISTS rehouse_documents_departed ON {documents};
DROP TRIGGER IF EXISTS rehouse_document_changed ON {documents};
DROP TRIGGER IF EXISTS rehouse_bucket_insert ON {documents};
DROP TRIGGER IF EXISTS rehouse_bucket_update ON {documents};
DROP TRIGGER IF EXISTS rehouse_documents_truncated ON {documents};

-- name: fold_all
-- Fold all pending deltas in one transaction; repeat until it returns 0.
SELECT coalesce(sum({schema}.rehouse_fold_usage(p.tenant_id)), 0) FROM (
  SELECT DISTINCT d.tenant_id FROM {rehouse_usage_deltas} d) p;

-- name: own_routines
-- Return our functions and procedures in the form that DROP ROUTINE takes.
SELECT p.oid::regprocedure::text AS routine FROM pg_proc p
WHERE p.pronamespace = {schema_name}::regnamespace AND p.proname = ANY(%(names)s) ORDER BY 1;

-- name: rows_that_need_the_bucket
-- Count the documents in other buckets than the default one, which cannot be found without the column.
SELECT count(*) FROM {documents} d WHERE d.{documents.s3_bucket} <> '' AND d.{documents.s3_bucket} <> %(default_bucket)s;

-- name: tenants_that_need_the_home
-- Count the tenants with their own bucket.
SELECT count(*) FROM {tenants} t WHERE t.{tenants.aws_bucket_name} <> '' AND t.{tenants.aws_bucket_name} <> %(default_bucket)s;
