-- name: rehouse_open_month
-- Makes a tenant's row of a month from its last level, unless it is there. A tenant that is gone gets none.
CREATE OR REPLACE FUNCTION {schema}.rehouse_open_month(opened_tenant {tenant_id_type}, opened_month date)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO {tenant_usage} (tenant_id, month, documents_count, storage_used_bytes, storage_used_mb)
  SELECT t.{tenants.id}, opened_month, coalesce(level.documents_count, 0), coalesce(level.storage_used_bytes, 0),
    coalesce(level.storage_used_mb, 0)
  FROM {tenants} t LEFT JOIN LATERAL (
    SELECT u.documents_count, u.storage_used_bytes, u.storage_used_mb FROM {tenant_usage} u
    WHERE u.tenant_id = t.{tenants.id} AND u.month < opened_month ORDER BY u.month DESC LIMIT 1) level ON true
  WHERE t.{tenants.id} = opened_tenant AND NOT EXISTS (
    SELECT 1 FROM {tenant_usage} u WHERE u.tenant_id = opened_tenant AND u.month = opened_month)
  ON CONFLICT (tenant_id, month) DO NOTHING;
END $$;

-- name: rehouse_open_months
-- Makes this month's row (UTC) and the next one's, and returns this month holding its row's lock: the lock is what makes
-- the next month begin at the right level.
CREATE OR REPLACE FUNCTION {schema}.rehouse_open_months(opened_tenant {tenant_id_type}) RETURNS date LANGUAGE plpgsql AS $$
DECLARE
  this_month date := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
BEGIN
  PERFORM {schema}.rehouse_open_month(opened_tenant, this_month);
  PERFORM 1 FROM {tenant_usage} u WHERE u.tenant_id = opened_tenant AND u.month = this_month FOR UPDATE;
  PERFORM {schema}.rehouse_open_month(opened_tenant, (this_month + interval '1 month')::date);
  RETURN this_month;
END $$;

-- name: rehouse_shift_usage
-- Adds to a tenant's level, this month and later. The rows after the next month's are there only if another session
-- passed midnight while this one waited; they are looked for in a snapshot of their own, taken after the wait.
CREATE OR REPLACE FUNCTION {schema}.rehouse_shift_usage(shifted_tenant {tenant_id_type}, more_documents bigint, more_bytes numeric)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  this_month date;
  next_month date;
BEGIN
  IF shifted_tenant IS NULL OR (more_documents = 0 AND more_bytes = 0) THEN
    RETURN;
  END IF;
  this_month := {schema}.rehouse_open_months(shifted_tenant);
  next_month := this_month + interval '1 month';
  UPDATE {tenant_usage} u SET documents_count = coalesce(u.documents_count, 0) + more_documents,
    storage_used_bytes = coalesce(u.storage_used_bytes, 0) + more_bytes,
    storage_used_mb = round((coalesce(u.storage_used_bytes, 0) + more_bytes) / 1048576), updated_at = now()
  WHERE u.tenant_id = shifted_tenant AND u.month BETWEEN this_month AND next_month;
  UPDATE {tenant_usage} u SET documents_count = coalesce(u.documents_count, 0) + more_documents,
    storage_used_bytes = coalesce(u.storage_used_bytes, 0) + more_bytes,
    storage_used_mb = round((coalesce(u.storage_used_bytes, 0) + more_bytes) / 1048576), updated_at = now()
  WHERE u.tenant_id = shifted_tenant AND u.month > next_month;
END $$;

-- name: rehouse_documents_arrived
-- Once for each INSERT, however many rows; tenants in order, so that two statements cannot wait for each other.
CREATE OR REPLACE FUNCTION {schema}.rehouse_documents_arrived() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  change record;
BEGIN
  FOR change IN
    SELECT a.{documents.tenant_id} AS of_tenant, count(*) AS documents,
      sum(coalesce(nullif(a.{documents.file_size}, 0), a.{documents.size}, 0)) AS bytes
    FROM arrived a GROUP BY 1 ORDER BY 1
  LOOP
    PERFORM {schema}.rehouse_shift_usage(change.of_tenant, change.documents, change.bytes);
  END LOOP;
  RETURN NULL;
END $$;

-- name: rehouse_documents_departed
-- Once for each DELETE.
CREATE OR REPLACE FUNCTION {schema}.rehouse_documents_departed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  change record;
BEGIN
  FOR change IN
    SELECT d.{documents.tenant_id} AS of_tenant, count(*) AS documents,
      sum(coalesce(nullif(d.{documents.file_size}, 0), d.{documents.size}, 0)) AS bytes
    FROM departed d GROUP BY 1 ORDER BY 1
  LOOP
    PERFORM {schema}.rehouse_shift_usage(change.of_tenant, -change.documents, -change.bytes);
  END LOOP;
  RETURN NULL;
END $$;

-- name: rehouse_document_changed
-- For a row whose tenant or size changed, and for no other.
CREATE OR REPLACE FUNCTION {schema}.rehouse_document_changed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bytes_before bigint := coalesce(nullif(OLD.{documents.file_size}, 0), OLD.{documents.size}, 0);
  bytes_after bigint := coalesce(nullif(NEW.{documents.file_size}, 0), NEW.{documents.size}, 0);
BEGIN
  IF OLD.{documents.tenant_id} IS NOT DISTINCT FROM NEW.{documents.tenant_id} THEN
    PERFORM {schema}.rehouse_shift_usage(NEW.{documents.tenant_id}, 0, bytes_after - bytes_before);
  ELSIF OLD.{documents.tenant_id} < NEW.{documents.tenant_id} THEN
    PERFORM {schema}.rehouse_shift_usage(OLD.{documents.tenant_id}, -1, -bytes_before);
    PERFORM {schema}.rehouse_shift_usage(NEW.{documents.tenant_id}, 1, bytes_after);
  ELSE
    PERFORM {schema}.rehouse_shift_usage(NEW.{documents.tenant_id}, 1, bytes_after);
    PERFORM {schema}.rehouse_shift_usage(OLD.{documents.tenant_id}, -1, -bytes_before);
  END IF;
  RETURN NULL;
END $$;

-- name: rehouse_documents_truncated
-- TRUNCATE leaves nothing to count.
CREATE OR REPLACE FUNCTION {schema}.rehouse_documents_truncated() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE {tenant_usage} u SET documents_count = 0, storage_used_bytes = 0, storage_used_mb = 0, updated_at = now()
  WHERE u.month >= date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::date;
  RETURN NULL;
END $$;

-- name: rehouse_roll_months
-- Makes this month's row and the next one's for every tenant, one transaction for each tenant.
CREATE OR REPLACE PROCEDURE {schema}.rehouse_roll_months() LANGUAGE plpgsql AS $$
DECLARE
  rolled_tenant {tenant_id_type};
BEGIN
  FOR rolled_tenant IN SELECT t.{tenants.id} FROM {tenants} t ORDER BY 1 LOOP
    PERFORM {schema}.rehouse_open_months(rolled_tenant);
    COMMIT;
  END LOOP;
END $$;

-- name: rehouse_recount_usage
-- Counts every tenant's documents again, one transaction for each tenant. The row's lock comes first and the count after
-- it: what was committed before is counted, what comes later waits and is added.
CREATE OR REPLACE PROCEDURE {schema}.rehouse_recount_usage() LANGUAGE plpgsql AS $$
DECLARE
  counted_tenant {tenant_id_type};
  this_month date;
BEGIN
  FOR counted_tenant IN SELECT t.{tenants.id} FROM {tenants} t ORDER BY 1 LOOP
    this_month := {schema}.rehouse_open_months(counted_tenant);
    UPDATE {tenant_usage} u SET documents_count = counted.documents, storage_used_bytes = counted.bytes,
      storage_used_mb = round(counted.bytes / 1048576), updated_at = now()
    FROM (SELECT count(*) AS documents, coalesce(sum(coalesce(nullif(d.{documents.file_size}, 0), d.{documents.size}, 0)), 0) AS bytes
      FROM {documents} d WHERE d.{documents.tenant_id} = counted_tenant) counted
    WHERE u.tenant_id = counted_tenant AND u.month >= this_month;
    COMMIT;
  END LOOP;
END $$;

-- name: usage_rights
-- What the triggers use they use with the rights of whoever made them, whatever the application's role may do; nobody
-- else may call it.
REVOKE ALL ON FUNCTION {schema}.rehouse_open_month({tenant_id_type}, date), {schema}.rehouse_open_months({tenant_id_type}),
  {schema}.rehouse_shift_usage({tenant_id_type}, bigint, numeric) FROM PUBLIC;

-- name: usage_triggers
-- The triggers on documents; the older tool's, which counts everything again for every row, goes in the same transaction.
DROP TRIGGER IF EXISTS trigger_update_tenant_storage ON {documents};
DROP TRIGGER IF EXISTS rehouse_documents_arrived ON {documents};
CREATE TRIGGER rehouse_documents_arrived AFTER INSERT ON {documents} REFERENCING NEW TABLE AS arrived
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_documents_arrived();
DROP TRIGGER IF EXISTS rehouse_documents_departed ON {documents};
CREATE TRIGGER rehouse_documents_departed AFTER DELETE ON {documents} REFERENCING OLD TABLE AS departed
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_documents_departed();
DROP TRIGGER IF EXISTS rehouse_document_changed ON {documents};
CREATE TRIGGER rehouse_document_changed AFTER UPDATE ON {documents} FOR EACH ROW
  WHEN (OLD.{documents.tenant_id} IS DISTINCT FROM NEW.{documents.tenant_id}
    OR coalesce(nullif(OLD.{documents.file_size}, 0), OLD.{documents.size}, 0)
      <> coalesce(nullif(NEW.{documents.file_size}, 0), NEW.{documents.size}, 0))
  EXECUTE FUNCTION {schema}.rehouse_document_changed();
DROP TRIGGER IF EXISTS rehouse_documents_truncated ON {documents};
CREATE TRIGGER rehouse_documents_truncated AFTER TRUNCATE ON {documents}
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_documents_truncated();

-- name: tenants_without_month
-- How many tenants lack this month's row or the next one's, and whether this session could make them.
SELECT count(*), NOT current_setting('transaction_read_only')::boolean
  AND has_table_privilege(%(usage)s, 'INSERT') AND has_table_privilege(%(usage)s, 'UPDATE')
FROM {tenants} t WHERE 2 > (
  SELECT count(*) FROM {tenant_usage} u WHERE u.tenant_id = t.{tenants.id}
    AND u.month IN (date_trunc('month', now() AT TIME ZONE 'UTC')::date,
      (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')::date));

-- name: roll_months
-- One transaction for each tenant, so outside any other.
CALL {schema}.rehouse_roll_months();
