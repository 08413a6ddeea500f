-- name: lock_limits
-- Let one upload at a time be decided for a tenant that has limits, until the end of the transaction. No row back: it has none.
SELECT pg_advisory_xact_lock(%(lock_key)s), current_setting('transaction_isolation') AS isolation FROM {tenants} t
WHERE t.{tenants.id} = %(tenant_id)s AND (false
  OR t.{tenants.max_storage_gb} IS NOT NULL -- if tenants.max_storage_gb
  OR t.{tenants.max_documents} IS NOT NULL -- if tenants.max_documents
);

-- name: release_expired
-- Abort the tenant's open grants that have expired, so that they no longer count. One that is being confirmed at this moment is locked,
-- and counts on.
UPDATE {s3_upload_grants} g SET state = 'aborted', changed_at = clock_timestamp()
WHERE g.grant_id = ANY (ARRAY(SELECT e.grant_id FROM {s3_upload_grants} e
  WHERE e.tenant_id = %(tenant_id)s AND e.state = 'open' AND e.expires_at <= clock_timestamp() FOR UPDATE SKIP LOCKED));

-- name: used_by_usage
-- What a tenant's rows count: its usage and the deltas that are not folded yet, unless a change could not be counted. Then its rows.
used AS (
  SELECT coalesce(u.documents, 0) + coalesce(p.documents, 0) AS documents, coalesce(u.bytes, 0) + coalesce(p.bytes, 0) AS bytes
  FROM (SELECT sum(d.documents) AS documents, sum(d.bytes) AS bytes FROM {rehouse_usage_deltas} d
    WHERE d.tenant_id = %(tenant_id)s) p
  LEFT JOIN LATERAL (SELECT l.documents_count AS documents, l.storage_used_bytes AS bytes FROM {tenant_usage} l
    WHERE l.tenant_id = %(tenant_id)s AND l.month <= date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')
    ORDER BY l.month DESC LIMIT 1) u ON true
  WHERE NOT EXISTS (SELECT FROM {rehouse_usage_faults} f WHERE f.step = 'count')
  UNION ALL
  SELECT count(*), coalesce(sum({bytes.d}), 0) FROM {documents} d
  WHERE d.{documents.tenant_id} = %(tenant_id)s AND EXISTS (SELECT FROM {rehouse_usage_faults} f WHERE f.step = 'count')
  HAVING EXISTS (SELECT FROM {rehouse_usage_faults} f WHERE f.step = 'count'))

-- name: used_by_rows
-- What a tenant's rows count, where no triggers keep its usage.
used AS (
  SELECT count(*) AS documents, coalesce(sum({bytes.d}), 0) AS bytes FROM {documents} d
  WHERE d.{documents.tenant_id} = %(tenant_id)s)

-- name: needed_by_grants
-- What the grants of a tenant need beyond its rows as they are now, without and with one more upload. Of several uploads of a
-- document the largest counts, because each one replaces the others. An upload of no document counts for itself.
uploads AS (
  SELECT g.document_id, max(g.size) FILTER (WHERE NOT g.is_new) AS reserved, max(g.size) AS size FROM (
    SELECT o.document_id, CASE WHEN o.document_id IS NULL THEN o.grant_id END AS alone, o.size, false AS is_new FROM {s3_upload_grants} o
    WHERE o.tenant_id = %(tenant_id)s AND o.state IN ('open', 'confirming') AND o.grant_id IS DISTINCT FROM %(grant_id)s::uuid
    UNION ALL
    SELECT %(document_id)s::{document_id_type} {document_id_collation},
      CASE WHEN %(document_id)s::{document_id_type} IS NULL THEN %(grant_id)s::uuid END, %(size)s::bigint, true WHERE %(size)s::bigint IS NOT NULL) g
  GROUP BY g.document_id, g.alone),
needed AS (
  SELECT coalesce(sum(greatest(n.reserved - coalesce(r.bytes, 0), 0)), 0) AS reserved_bytes,
    count(*) FILTER (WHERE r.bytes IS NULL AND n.reserved IS NOT NULL) AS reserved_documents,
    coalesce(sum(greatest(n.size - coalesce(r.bytes, 0), 0)), 0) AS bytes,
    count(*) FILTER (WHERE r.bytes IS NULL) AS documents
  FROM uploads n LEFT JOIN LATERAL (SELECT {bytes.d} AS bytes FROM {documents} d
    WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = n.document_id) r ON true)
SELECT
  t.{tenants.max_storage_gb}::text AS max_storage_gb, -- if tenants.max_storage_gb
  t.{tenants.max_documents}::text AS max_documents, -- if tenants.max_documents
  used.bytes::bigint AS used_bytes, used.documents::bigint AS used_documents,
  n.reserved_bytes::bigint AS reserved_bytes, n.reserved_documents,
  (n.bytes - n.reserved_bytes)::bigint AS more_bytes, n.documents - n.reserved_documents AS more_documents
FROM {tenants} t CROSS JOIN used CROSS JOIN needed n WHERE t.{tenants.id} = %(tenant_id)s

-- name: room_by_usage
-- Return a tenant's limits and what counts against them, with the usage that the triggers keep.
WITH {used_by_usage},
{needed_by_grants};

-- name: room_by_rows
-- Return the same where no triggers keep the usage.
WITH {used_by_rows},
{needed_by_grants};

-- name: destination
-- Where new uploads of the tenant `t` go: its home, else the first shared bucket that is left.
CASE WHEN coalesce(t.{tenants.aws_bucket_name}, '') = '' OR t.{tenants.aws_bucket_name} = ANY(%(shared)s::text[])
  THEN %(upload_bucket)s::text ELSE t.{tenants.aws_bucket_name} END

-- name: open_grant
-- Record a grant. Its bucket is read from the tenant's row by this very statement. No row back: there is no such active tenant.
INSERT INTO {s3_upload_grants} (grant_id, tenant_id, document_id, bucket, temp_key, name, size, content_type, checksum_algorithm,
  checksum, part_bytes, expires_at)
SELECT %(grant_id)s::uuid, p.tenant_id, %(document_id)s::{document_id_type}, p.bucket, %(temp_key)s, %(name)s, %(size)s::bigint,
  %(content_type)s, %(checksum_algorithm)s, %(checksum)s, %(part_bytes)s::bigint,
  clock_timestamp() + %(seconds)s::float8 * interval '1 second'
FROM (SELECT t.{tenants.id} AS tenant_id, {destination} AS bucket FROM {tenants.rows} t
  WHERE t.{tenants.id} = %(tenant_id)s AND {active.t}) p WHERE p.bucket IS NOT NULL
RETURNING {columns_of_grant};

-- name: columns_of_grant
-- The columns of a grant.
grant_id, tenant_id, document_id, bucket, temp_key, upload_id, name, size, content_type, checksum_algorithm, checksum, part_bytes,
  state, final_bucket, final_key, etag, version, result_checksum, created_at, expires_at

-- name: resize_grant
-- Let an open grant be of another size.
UPDATE {s3_upload_grants} SET size = %(size)s, changed_at = clock_timestamp()
WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s AND state = 'open' AND expires_at > clock_timestamp()
RETURNING {columns_of_grant};

-- name: record_upload_id
-- Record the id of a grant's multipart upload: of its staged key, or of its final one if that is recorded.
UPDATE {s3_upload_grants} SET upload_id = %(upload_id)s
WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s AND state IN ('open', 'confirming') RETURNING {columns_of_grant};

-- name: grant
-- Return a grant of a tenant.
SELECT {columns_of_grant} FROM {s3_upload_grants} WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s;

-- name: live_grant
-- Return a grant of a tenant, and how many seconds it lives by the database's clock.
SELECT {columns_of_grant}, floor(extract(epoch FROM expires_at - clock_timestamp()))::integer AS seconds
FROM {s3_upload_grants} WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s;

-- name: lock_grant
-- Lock a grant of a tenant, then read it.
SELECT {columns_of_grant}, expires_at <= clock_timestamp() AS is_expired FROM {s3_upload_grants}
WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s FOR UPDATE;

-- name: destination_now
-- Return where new uploads of a tenant go now, and whether it is active.
SELECT {destination} AS bucket, {active.t} AS is_active FROM {tenants.rows} t WHERE t.{tenants.id} = %(tenant_id)s;

-- name: free_key
-- Return the first of some keys of a document that nothing has: no row of the tenant's, no other grant, no pending deletion.
SELECT k.key FROM unnest(%(keys)s::text[]) WITH ORDINALITY k (key, place)
WHERE NOT EXISTS (SELECT FROM {s3_upload_grants} g
    WHERE g.final_bucket = %(bucket)s AND g.final_key = k.key AND g.grant_id <> %(grant_id)s::uuid)
  AND NOT EXISTS (SELECT FROM {s3_pending_deletions} p WHERE p.bucket = %(bucket)s AND p.key = k.key)
  AND NOT EXISTS (SELECT FROM {documents} d WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s
    AND d.{documents.s3_key} = k.key)
ORDER BY k.place LIMIT 1;

-- name: begin_confirm
-- Record the key to which an upload is copied, before it is copied.
UPDATE {s3_upload_grants} SET state = 'confirming', final_bucket = %(bucket)s, final_key = %(key)s, changed_at = clock_timestamp()
WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s AND state IN ('open', 'confirming') RETURNING {columns_of_grant};

-- name: settle_grant
-- Record that the row points to the upload's copy.
UPDATE {s3_upload_grants} SET state = 'confirmed', size = %(size)s, etag = %(etag)s, version = %(version)s, result_checksum = %(checksum)s,
  changed_at = clock_timestamp()
WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s AND state = 'confirming' RETURNING {columns_of_grant};

-- name: abort_grant
-- Give a grant up that was not confirmed. Its objects are swept.
UPDATE {s3_upload_grants} SET state = 'aborted', changed_at = clock_timestamp()
WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s AND state IN ('open', 'confirming') RETURNING {columns_of_grant};

-- name: abort_abandoned
-- Abort the grants of all tenants that expired, and those whose confirmation began long ago and never ended.
UPDATE {s3_upload_grants} g SET state = 'aborted', changed_at = clock_timestamp()
WHERE g.grant_id = ANY (ARRAY(SELECT e.grant_id FROM {s3_upload_grants} e
  WHERE e.state = 'open' AND e.expires_at <= clock_timestamp()
    OR e.state = 'confirming' AND e.changed_at <= clock_timestamp() - %(confirming_seconds)s::float8 * interval '1 second'
  FOR UPDATE SKIP LOCKED));

-- name: grants_to_sweep
-- Return aborted grants whose URLs expired a while ago, so that no request of theirs is still on its way. The oldest come first.
SELECT {columns_of_grant} FROM {s3_upload_grants}
WHERE state = 'aborted' AND expires_at <= clock_timestamp() - %(seconds)s::float8 * interval '1 second'
ORDER BY expires_at LIMIT %(limit)s;

-- name: forget_grant
-- Delete an aborted grant after its objects.
DELETE FROM {s3_upload_grants} WHERE grant_id = %(grant_id)s::uuid AND tenant_id = %(tenant_id)s AND state = 'aborted';

-- name: forget_confirmed
-- Delete grants that were confirmed long ago.
DELETE FROM {s3_upload_grants} WHERE state = 'confirmed' AND changed_at <= clock_timestamp() - %(days)s::float8 * interval '1 day';

-- name: record_deletion
-- Record that an object is to be deleted.
INSERT INTO {s3_pending_deletions} (tenant_id, document_id, bucket, key, etag)
VALUES (%(tenant_id)s, %(document_id)s, %(bucket)s, %(key)s, %(etag)s)
RETURNING id, tenant_id, document_id, bucket, key, etag;

-- name: pending_deletions
-- Return a page of the objects that are to be deleted, of those that were recorded a while ago. An upload below `temp/` waits until
-- no URL can write it any more.
SELECT d.id, d.tenant_id, d.document_id, d.bucket, d.key, d.etag FROM {s3_pending_deletions} d
WHERE d.id > %(after)s AND d.created_at <= clock_timestamp() - %(seconds)s::float8 * interval '1 second'
  AND NOT EXISTS (SELECT FROM {s3_upload_grants} g
    WHERE g.bucket = d.bucket AND g.temp_key = d.key AND g.expires_at > clock_timestamp() - interval '1 hour')
ORDER BY d.id LIMIT %(limit)s;

-- name: forget_deletion
-- Delete the record after the object.
DELETE FROM {s3_pending_deletions} WHERE id = %(id)s AND tenant_id = %(tenant_id)s;
