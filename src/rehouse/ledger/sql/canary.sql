-- name: canary_copies
-- Copies that are verified and wait for the flip: what the application will read.
SELECT document_id, target_bucket, target_key, target_etag, source_size FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND state = 'copied' ORDER BY document_id LIMIT %(count)s;

-- name: canary_rows
-- Documents whose rows this run flipped, as the application finds them.
SELECT m.document_id, d.{documents.s3_bucket}, d.{documents.s3_key}, m.target_etag, m.source_size
FROM s3_migration_documents m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
WHERE m.tenant_id = %(tenant_id)s AND m.run_id = %(run_id)s AND m.state = 'flipped'
  AND d.{documents.s3_bucket} = m.target_bucket AND d.{documents.s3_key} = m.target_key
ORDER BY m.flipped_at DESC, m.document_id LIMIT %(count)s;
