-- name: tenant_of_storage
-- Return the tenants that a slug or an id names, with the buckets that may be their own. A migration has reserved a bucket for one
-- tenant, so a row that names another tenant's bucket is recognised.
SELECT t.{tenants.id} AS tenant_id, t.{tenants.name}::text AS name, t.{tenants.aws_bucket_name} AS home, {active.t} AS is_active,
  t.{tenants.slug}::text AS slug, m.home_bucket, m.previous_home,
  EXISTS (SELECT FROM {s3_migrations} o WHERE o.home_bucket = t.{tenants.aws_bucket_name} AND o.tenant_id <> t.{tenants.id}) AS is_contested
FROM {tenants.rows} t LEFT JOIN {s3_migrations} m ON m.tenant_id = t.{tenants.id}
WHERE t.{tenants.id} = %(tenant_id)s::{tenant_id_type} OR t.{tenants.slug}::text = %(slug)s;

-- name: columns_of_document
-- The columns of a row `d` that storage reads.
d.{documents.id} AS document_id, d.{documents.tenant_id} AS tenant_id, {name_told.d} AS name, {bucket_told.d} AS bucket,
  {key_told.d} AS key, {key_fault.d} AS key_fault,
  left(d.{documents.etag}, 255) AS etag, -- if documents.etag
  {bytes.d}::bigint AS bytes

-- name: document_of_storage
-- Return a document of a tenant.
SELECT {columns_of_document}
FROM {documents} d WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s;

-- name: documents_of_storage
-- Return a page of a tenant's documents, in order of id.
SELECT {columns_of_document}
FROM {documents} d WHERE d.{documents.tenant_id} = %(tenant_id)s
  AND (%(after)s::{document_id_type} IS NULL OR d.{documents.id} > %(after)s::{document_id_type}) AND {id_is_readable.d}
ORDER BY d.{documents.id} LIMIT %(limit)s;

-- name: lock_document
-- Lock a document of a tenant until the end of the transaction.
SELECT {columns_of_document}
FROM {documents} d WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s FOR {row_lock} OF d;

-- name: point_to_object
-- Point a document to an object: bucket, key, true size, and ETag (quoted if the row's ETag was quoted). Nothing was migrated.
UPDATE {documents} d SET {documents.s3_bucket} = %(bucket)s, {documents.s3_key} = %(key)s,
  {documents.file_size} = %(size)s, -- if documents.file_size
  {documents.etag} = CASE WHEN d.{documents.etag} LIKE '"%%' THEN '"' || %(etag)s::text || '"' ELSE %(etag)s::text END, -- if documents.etag
  s3_version_id = %(version)s, s3_checksum = %(checksum)s, s3_migrated_at = NULL
WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
RETURNING d.{documents.s3_bucket} AS bucket, d.{documents.s3_key} AS key;

-- name: clear_pointer
-- Take a document's pointer away, if it is still the one that was read.
UPDATE {documents} d SET {documents.s3_bucket} = NULL, {documents.s3_key} = NULL,
  {documents.etag} = NULL, -- if documents.etag
  s3_version_id = NULL, s3_checksum = NULL, s3_migrated_at = NULL
WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
  AND d.{documents.s3_bucket} IS NOT DISTINCT FROM %(bucket)s AND d.{documents.s3_key} = %(key)s
RETURNING d.{documents.s3_key} AS key;

-- name: is_pointed_at
-- Return whether any row points to an object, or a migration has copied it for a document and will point its row there.
SELECT {schema}.rehouse_is_pointed_at(%(bucket)s, %(key)s, %(is_default)s, %(tenant_id)s, %(document_id)s) AS is_pointed_at;

-- name: rehouse_is_pointed_at
-- Return whether any row of any tenant points to an object, or a migration will point this document there. The application's role
-- may be under row security and would see none of the rows of others, so this runs with the rights of the role that made the
-- ledger, which sees all rows: else it fails.
CREATE OR REPLACE FUNCTION {schema}.rehouse_is_pointed_at(in_bucket text, at_key text, is_default boolean,
  of_tenant {s3_migration_documents}.tenant_id%TYPE, of_document {s3_migration_documents}.document_id%TYPE) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $rehouse$
  SELECT EXISTS (SELECT FROM {documents} d
      WHERE d.{documents.s3_bucket} = in_bucket AND d.{documents.s3_key} = at_key AND {documents.is_indexed})
    OR is_default AND EXISTS (SELECT FROM {documents} d
      WHERE d.{documents.s3_bucket} IS NULL AND d.{documents.s3_key} = at_key AND {documents.is_indexed})
    OR is_default AND EXISTS (SELECT FROM {documents} d
      WHERE d.{documents.s3_bucket} = '' AND d.{documents.s3_key} = at_key AND {documents.is_indexed})
    OR EXISTS (SELECT FROM {s3_migration_documents} m
      WHERE m.tenant_id = of_tenant AND m.document_id = of_document AND m.state = 'copied'
        AND m.target_bucket = in_bucket AND m.target_key = at_key)
$rehouse$;
REVOKE ALL ON FUNCTION {schema}.rehouse_is_pointed_at FROM PUBLIC;
