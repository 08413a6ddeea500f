-- name: rows_of_key
-- The rows of a tenant with a key, in the buckets that may be the tenant's. Each part is one look into the index of pointers.
d.{documents.tenant_id} = %(tenant_id)s AND {documents.is_indexed} AND (
    d.{documents.s3_bucket} = ANY(%(buckets)s::text[]) AND d.{documents.s3_key} = %(key)s
    OR d.{documents.s3_bucket} IS NULL AND d.{documents.s3_key} = %(key)s
    OR d.{documents.s3_bucket} = '' AND d.{documents.s3_key} = %(key)s)

-- name: documents_of_key
-- Return the rows of a tenant with a key.
SELECT {columns_of_document} FROM {documents} d WHERE {rows_of_key} ORDER BY d.{documents.id} LIMIT 100;

-- name: lock_documents_of_key
-- Lock these rows until the end of the transaction.
SELECT {columns_of_document} FROM {documents} d WHERE {rows_of_key} ORDER BY d.{documents.id} LIMIT 100 FOR {row_lock} OF d;

-- name: document_moved_from_key
-- Return the row that a migration or a rollback has moved away from a key of the tenant, if it still points where it was moved to.
SELECT {columns_of_document}
FROM {s3_migration_documents} m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
WHERE m.tenant_id = %(tenant_id)s AND m.source_key = %(key)s
  AND d.{documents.s3_bucket} = m.target_bucket AND d.{documents.s3_key} = m.target_key LIMIT 1;

-- name: document_returned_from_key
-- Return the row that a rollback has pointed back to its old object. No index has the keys of copies, so this reads the tenant's
-- lines; it is asked last.
SELECT {columns_of_document}
FROM {s3_migration_documents} m JOIN {documents} d ON d.{documents.id} = m.document_id AND d.{documents.tenant_id} = m.tenant_id
WHERE m.tenant_id = %(tenant_id)s AND m.target_key = %(key)s
  AND d.{documents.s3_bucket} = m.source_bucket AND d.{documents.s3_key} = m.source_key LIMIT 1;

-- name: line_of_key
-- Return the document that the ledger knows under a key of the tenant, whether or not its row is still there.
SELECT m.document_id, m.source_bucket, m.source_key, m.target_bucket, m.target_key FROM {s3_migration_documents} m
WHERE m.tenant_id = %(tenant_id)s AND (m.source_key = %(key)s OR m.target_key = %(key)s) LIMIT 1;

-- name: upload_of_key
-- Return the upload of a file of the tenant that was stored under a key. A row that was not committed yet may point there.
SELECT {columns_of_grant} FROM {s3_upload_grants}
WHERE tenant_id = %(tenant_id)s AND final_key = %(key)s AND document_id IS NULL AND etag IS NOT NULL
  AND state IN ('confirming', 'confirmed') ORDER BY created_at DESC LIMIT 1;

-- name: key_is_taken
-- Return whether a file of the tenant may not get a key: a row, an upload, a deletion or the ledger has it, in whatever bucket.
SELECT EXISTS (SELECT FROM {documents} d WHERE {rows_of_key})
  OR EXISTS (SELECT FROM {s3_upload_grants} g
    WHERE g.tenant_id = %(tenant_id)s AND g.final_key = %(key)s AND g.grant_id IS DISTINCT FROM %(grant_id)s::uuid)
  OR EXISTS (SELECT FROM {s3_pending_deletions} p WHERE p.tenant_id = %(tenant_id)s AND p.key = %(key)s)
  OR EXISTS (SELECT FROM {s3_migration_documents} m WHERE m.tenant_id = %(tenant_id)s AND m.source_key = %(key)s) AS is_taken;

-- name: record_file
-- Record that an upload's object is there, so that a row may point to it.
UPDATE {s3_upload_grants} SET size = %(size)s, etag = %(etag)s, version = %(version)s, result_checksum = %(checksum)s,
  changed_at = clock_timestamp()
WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s AND state = 'confirming' RETURNING {columns_of_grant};

-- name: abort_file
-- Give the upload of a file up, also a confirmed one: its object is to be deleted, and no row may get its key again.
UPDATE {s3_upload_grants} SET state = 'aborted', changed_at = clock_timestamp()
WHERE tenant_id = %(tenant_id)s AND final_bucket = %(bucket)s AND final_key = %(key)s AND document_id IS NULL AND state <> 'aborted';

-- name: clear_file
-- Empty the key of a row, as Django writes that a document has no file.
UPDATE {documents} d SET {documents.s3_bucket} = NULL, {documents.s3_key} = '',
  {documents.etag} = NULL, -- if documents.etag
  s3_version_id = NULL, s3_checksum = NULL, s3_migrated_at = NULL
WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
  AND d.{documents.s3_bucket} IS NOT DISTINCT FROM %(bucket)s AND d.{documents.s3_key} = %(key)s
RETURNING d.{documents.s3_key} AS key;

-- name: entries_of_files
-- Return the names below a prefix: of files as they are, of folders with a slash at the end.
SELECT DISTINCT CASE WHEN strpos(f.rest, '/') > 0 THEN left(f.rest, strpos(f.rest, '/')) ELSE f.rest END AS entry FROM (
  SELECT substr(d.{documents.s3_key}, length(%(prefix)s) + 1) AS rest FROM {documents} d
  WHERE d.{documents.tenant_id} = %(tenant_id)s AND starts_with(d.{documents.s3_key}, %(prefix)s)
    AND octet_length(d.{documents.s3_key}) <= 2048
  UNION ALL SELECT substr(g.final_key, length(%(prefix)s) + 1) FROM {s3_upload_grants} g
  WHERE g.tenant_id = %(tenant_id)s AND starts_with(g.final_key, %(prefix)s) AND g.document_id IS NULL AND g.etag IS NOT NULL
    AND g.state = 'confirming') f
WHERE f.rest <> '' ORDER BY 1;

-- name: rehouse_fill_bucket
-- Give a row that is written with a key alone what belongs to the key: the bucket where the file's upload has put it, and its size,
-- ETag and version. The upload is confirmed in the same transaction. A key that no upload has was written by the application in its
-- own way: the row's object is in the shared bucket, or is that of another row. A row that a migration or a rollback has moved keeps its
-- place when the application writes back the key that it read before. It runs with the rights of the role that made the ledger.
CREATE OR REPLACE FUNCTION {schema}.rehouse_fill_bucket() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off AS $rehouse$
DECLARE
  upload record;
  homes text[];
BEGIN
  IF coalesce(NEW.{documents.s3_key}, '') = '' THEN
    NEW.{documents.s3_bucket} := NULL;
    NEW.{documents.etag} := NULL; -- if documents.etag
    NEW.s3_version_id := NULL; NEW.s3_checksum := NULL; NEW.s3_migrated_at := NULL;
    RETURN NEW;
  END IF;
  IF TG_OP = 'UPDATE' AND EXISTS (SELECT FROM {s3_migration_documents} m
    WHERE m.tenant_id = OLD.{documents.tenant_id} AND m.document_id = OLD.{documents.id}
      AND (m.source_key = NEW.{documents.s3_key}
          AND m.target_bucket = OLD.{documents.s3_bucket} AND m.target_key = OLD.{documents.s3_key}
        OR m.target_key = NEW.{documents.s3_key}
          AND m.source_bucket = OLD.{documents.s3_bucket} AND m.source_key = OLD.{documents.s3_key})) THEN
    NEW.{documents.s3_key} := OLD.{documents.s3_key};
    RETURN NEW;
  END IF;
  SELECT g.grant_id, g.document_id, g.state, g.final_bucket, g.size, g.etag, g.version, g.result_checksum INTO upload
  FROM {s3_upload_grants} g
  WHERE g.tenant_id = NEW.{documents.tenant_id} AND g.final_key = NEW.{documents.s3_key}
    AND (g.document_id IS NULL OR g.document_id = NEW.{documents.id})
  ORDER BY g.created_at DESC LIMIT 1 FOR UPDATE;
  IF upload.grant_id IS NOT NULL AND upload.document_id IS NOT NULL THEN
    NEW.{documents.s3_bucket} := upload.final_bucket;
    RETURN NEW;
  END IF;
  IF upload.grant_id IS NOT NULL THEN
    IF upload.etag IS NULL OR upload.state NOT IN ('confirming', 'confirmed') THEN
      RAISE EXCEPTION USING ERRCODE = 'integrity_constraint_violation',
        MESSAGE = 'the file ' || NEW.{documents.s3_key} || ' was deleted, or its upload was given up',
        HINT = 'save the file again, and the row within a day';
    END IF;
    NEW.{documents.s3_bucket} := upload.final_bucket;
    NEW.{documents.file_size} := upload.size; -- if documents.file_size
    NEW.{documents.etag} := upload.etag; -- if documents.etag
    NEW.s3_version_id := upload.version; NEW.s3_checksum := upload.result_checksum; NEW.s3_migrated_at := NULL;
    UPDATE {s3_upload_grants} SET state = 'confirmed', changed_at = clock_timestamp()
    WHERE grant_id = upload.grant_id AND state = 'confirming';
    RETURN NEW;
  END IF;
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
      MESSAGE = 'a transaction at ' || current_setting('transaction_isolation') || ' cannot see the upload of ' || NEW.{documents.s3_key},
      HINT = 'write rows with files at READ COMMITTED';
  END IF;
  SELECT array_remove(ARRAY[t.{tenants.aws_bucket_name}::text, m.home_bucket, m.previous_home], NULL) INTO homes
  FROM {tenants} t LEFT JOIN {s3_migrations} m ON m.tenant_id = t.{tenants.id}
  WHERE t.{tenants.id} = NEW.{documents.tenant_id};
  SELECT d.{documents.s3_bucket} INTO upload FROM {documents} d
  WHERE d.{documents.s3_bucket} = ANY(homes) AND d.{documents.s3_key} = NEW.{documents.s3_key} AND {documents.is_indexed}
    AND d.{documents.tenant_id} = NEW.{documents.tenant_id} LIMIT 1;
  IF FOUND THEN
    NEW.{documents.s3_bucket} := upload.{documents.s3_bucket};
  ELSIF TG_OP = 'UPDATE' AND NEW.{documents.s3_bucket} = ANY(homes) THEN
    NEW.{documents.s3_bucket} := NULL;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    NEW.{documents.file_size} := NULL; -- if documents.file_size
    NEW.{documents.etag} := NULL; -- if documents.etag
    NEW.s3_version_id := NULL; NEW.s3_checksum := NULL; NEW.s3_migrated_at := NULL;
  END IF;
  RETURN NEW;
END $rehouse$;
REVOKE ALL ON FUNCTION {schema}.rehouse_fill_bucket FROM PUBLIC;

-- name: bucket_triggers
-- Call it for rows that get a key and no bucket of their own. Our own statements name the bucket, and do not fire it.
DROP TRIGGER IF EXISTS rehouse_bucket_insert ON {documents};
DROP TRIGGER IF EXISTS rehouse_bucket_update ON {documents};
CREATE TRIGGER rehouse_bucket_insert BEFORE INSERT ON {documents} FOR EACH ROW
  WHEN (coalesce(NEW.{documents.s3_bucket}, '') = '' AND NEW.{documents.s3_key} <> '')
  EXECUTE FUNCTION {schema}.rehouse_fill_bucket();
CREATE TRIGGER rehouse_bucket_update BEFORE UPDATE OF {documents.s3_key} ON {documents} FOR EACH ROW
  WHEN (OLD.{documents.s3_key} IS DISTINCT FROM NEW.{documents.s3_key}
    AND NEW.{documents.s3_bucket} IS NOT DISTINCT FROM OLD.{documents.s3_bucket})
  EXECUTE FUNCTION {schema}.rehouse_fill_bucket();
