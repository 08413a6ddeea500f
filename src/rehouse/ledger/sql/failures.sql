-- name: failed_documents
-- The documents that could not be moved, with the code why; of one code if one is given.
SELECT document_id FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND state IN ('planned', 'copied', 'quarantined') AND error_code IS NOT NULL
  AND (%(code)s::text IS NULL OR error_code = %(code)s::text);
