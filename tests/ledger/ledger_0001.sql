-- What rehouse needs in this database; only what is missing is here. Run it with `psql -v ON_ERROR_STOP=1 -f`,
-- not in one transaction. If it stops (as a rule at lock_timeout), ask for it again: it then holds the rest.
SET statement_timeout = 0;
SET lock_timeout = 0;
CREATE TABLE IF NOT EXISTS public.rehouse_schema_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT rehouse_schema_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

-- the table s3_migrations
BEGIN;
CREATE TABLE IF NOT EXISTS "public".s3_migrations (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id integer NOT NULL,
  old_bucket varchar(255),
  new_bucket varchar(255),
  documents_migrated integer DEFAULT 0,
  status varchar(50) DEFAULT 'pending',
  started_at timestamptz,
  completed_at timestamptz,
  error_message text,
  created_at timestamptz DEFAULT now(),
  run_id uuid,
  phase text,
  home_bucket text,
  previous_home text,
  documents_total bigint,
  documents_skipped bigint,
  documents_failed bigint,
  bytes_total bigint,
  bytes_copied bigint,
  updated_at timestamptz,
  CONSTRAINT s3_migrations_status_check CHECK (status IN ('pending', 'in_progress', 'completed', 'failed', 'rolled_back'))
);
COMMIT;

-- the table s3_migration_documents
BEGIN;
CREATE TABLE IF NOT EXISTS "public".s3_migration_documents (
  tenant_id integer NOT NULL,
  document_id character varying(255)  NOT NULL,
  source_bucket text,
  source_key text COLLATE "C",
  source_etag text,
  source_version text,
  source_size bigint,
  storage_class text,
  target_bucket text,
  target_key text COLLATE "C",
  target_etag text,
  target_version text,
  target_checksum text,
  state text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  error_code text,
  error_message text,
  request_id text,
  run_id uuid,
  flipped_at timestamptz,
  late_etag text,
  updated_at timestamptz DEFAULT now(),
  PRIMARY KEY (tenant_id, document_id),
  CONSTRAINT s3_migration_documents_state_check CHECK (state IN ('planned', 'copied', 'flipped', 'superseded', 'removing', 'removed', 'quarantined', 'accepted'))
) WITH (fillfactor = 80);
COMMIT;

-- the index s3_migration_documents_by_source
BEGIN;
CREATE INDEX IF NOT EXISTS s3_migration_documents_by_source ON "public".s3_migration_documents (source_key);
COMMIT;

-- the table s3_migration_events
BEGIN;
CREATE TABLE IF NOT EXISTS "public".s3_migration_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id integer,
  run_id uuid,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL DEFAULT current_user,
  event text NOT NULL,
  from_phase text,
  to_phase text,
  reason text
);
COMMIT;

-- the index s3_migration_events_tenant
BEGIN;
CREATE INDEX IF NOT EXISTS s3_migration_events_tenant ON "public".s3_migration_events (tenant_id, id);
COMMIT;

-- the table s3_inventory
BEGIN;
CREATE UNLOGGED TABLE IF NOT EXISTS "public".s3_inventory (
  run_id uuid NOT NULL,
  bucket text COLLATE "C",
  key text COLLATE "C",
  etag text,
  size bigint,
  storage_class text,
  modified_at timestamptz,
  contested boolean NOT NULL DEFAULT false,
  PRIMARY KEY (run_id, bucket, key)
);
COMMIT;

-- the history is append only
BEGIN;
-- The history of a migration is written once: nobody changes or removes a line by mistake.
CREATE OR REPLACE FUNCTION "public".rehouse_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 's3_migration_events is append only' USING ERRCODE = 'insufficient_privilege';
END $$;
DROP TRIGGER IF EXISTS rehouse_append_only ON "public".s3_migration_events;
CREATE TRIGGER rehouse_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON "public".s3_migration_events
  FOR EACH STATEMENT EXECUTE FUNCTION "public".rehouse_append_only();
COMMIT;

-- the index s3_migrations_one_a_tenant
BEGIN;
CREATE UNIQUE INDEX IF NOT EXISTS s3_migrations_one_a_tenant ON "public".s3_migrations (tenant_id);
COMMIT;

-- documents gains s3_version_id, s3_checksum, s3_migrated_at
BEGIN;
SET LOCAL lock_timeout = 200;
ALTER TABLE "public"."documents" ADD COLUMN IF NOT EXISTS "s3_version_id" text, ADD COLUMN IF NOT EXISTS "s3_checksum" text, ADD COLUMN IF NOT EXISTS "s3_migrated_at" timestamptz;
COMMIT;

-- the index rehouse_documents_by_tenant
CREATE INDEX CONCURRENTLY IF NOT EXISTS rehouse_documents_by_tenant ON "public"."documents" ("tenant_id", "id");

-- the index rehouse_documents_by_object
CREATE INDEX CONCURRENTLY IF NOT EXISTS rehouse_documents_by_object ON "public"."documents" ("s3_bucket", "s3_key");

-- the table tenant_usage
BEGIN;
CREATE TABLE IF NOT EXISTS "public".tenant_usage (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  tenant_id integer NOT NULL,
  month date NOT NULL,
  documents_count integer DEFAULT 0,
  storage_used_mb integer DEFAULT 0,
  storage_used_bytes bigint,
  api_calls_count integer DEFAULT 0,
  active_users_count integer DEFAULT 0,
  created_at timestamptz DEFAULT now(),
  updated_at timestamptz DEFAULT now()
);
COMMIT;

-- the index tenant_usage_one_a_month
BEGIN;
CREATE UNIQUE INDEX IF NOT EXISTS tenant_usage_one_a_month ON "public".tenant_usage (tenant_id, month);
COMMIT;

-- the functions that keep tenant_usage
BEGIN;
-- Makes a tenant's row of a month from its last level, unless it is there. A tenant that is gone gets none.
CREATE OR REPLACE FUNCTION "public".rehouse_open_month(opened_tenant integer, opened_month date)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "public"."tenant_usage" (tenant_id, month, documents_count, storage_used_bytes, storage_used_mb)
  SELECT t."id", opened_month, coalesce(level.documents_count, 0), coalesce(level.storage_used_bytes, 0),
    coalesce(level.storage_used_mb, 0)
  FROM "public"."tenants" t LEFT JOIN LATERAL (
    SELECT u.documents_count, u.storage_used_bytes, u.storage_used_mb FROM "public"."tenant_usage" u
    WHERE u.tenant_id = t."id" AND u.month < opened_month ORDER BY u.month DESC LIMIT 1) level ON true
  WHERE t."id" = opened_tenant AND NOT EXISTS (
    SELECT 1 FROM "public"."tenant_usage" u WHERE u.tenant_id = opened_tenant AND u.month = opened_month)
  ON CONFLICT (tenant_id, month) DO NOTHING;
END $$;

-- Makes this month's row (UTC) and the next one's, and returns this month holding its row's lock: the lock is what makes
-- the next month begin at the right level.
CREATE OR REPLACE FUNCTION "public".rehouse_open_months(opened_tenant integer) RETURNS date LANGUAGE plpgsql AS $$
DECLARE
  this_month date := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
BEGIN
  PERFORM "public".rehouse_open_month(opened_tenant, this_month);
  PERFORM 1 FROM "public"."tenant_usage" u WHERE u.tenant_id = opened_tenant AND u.month = this_month FOR UPDATE;
  PERFORM "public".rehouse_open_month(opened_tenant, (this_month + interval '1 month')::date);
  RETURN this_month;
END $$;

-- Adds to a tenant's level, this month and later. The rows after the next month's are there only if another session
-- passed midnight while this one waited; they are looked for in a snapshot of their own, taken after the wait.
CREATE OR REPLACE FUNCTION "public".rehouse_shift_usage(shifted_tenant integer, more_documents bigint, more_bytes numeric)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  this_month date;
  next_month date;
BEGIN
  IF shifted_tenant IS NULL OR (more_documents = 0 AND more_bytes = 0) THEN
    RETURN;
  END IF;
  this_month := "public".rehouse_open_months(shifted_tenant);
  next_month := this_month + interval '1 month';
  UPDATE "public"."tenant_usage" u SET documents_count = coalesce(u.documents_count, 0) + more_documents,
    storage_used_bytes = coalesce(u.storage_used_bytes, 0) + more_bytes,
    storage_used_mb = round((coalesce(u.storage_used_bytes, 0) + more_bytes) / 1048576), updated_at = now()
  WHERE u.tenant_id = shifted_tenant AND u.month BETWEEN this_month AND next_month;
  UPDATE "public"."tenant_usage" u SET documents_count = coalesce(u.documents_count, 0) + more_documents,
    storage_used_bytes = coalesce(u.storage_used_bytes, 0) + more_bytes,
    storage_used_mb = round((coalesce(u.storage_used_bytes, 0) + more_bytes) / 1048576), updated_at = now()
  WHERE u.tenant_id = shifted_tenant AND u.month > next_month;
END $$;

-- Once for each INSERT, however many rows; tenants in order, so that two statements cannot wait for each other.
CREATE OR REPLACE FUNCTION "public".rehouse_documents_arrived() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  change record;
BEGIN
  FOR change IN
    SELECT a."tenant_id" AS of_tenant, count(*) AS documents,
      sum(coalesce(nullif(a."file_size", 0), a."size", 0)) AS bytes
    FROM arrived a GROUP BY 1 ORDER BY 1
  LOOP
    PERFORM "public".rehouse_shift_usage(change.of_tenant, change.documents, change.bytes);
  END LOOP;
  RETURN NULL;
END $$;

-- Once for each DELETE.
CREATE OR REPLACE FUNCTION "public".rehouse_documents_departed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  change record;
BEGIN
  FOR change IN
    SELECT d."tenant_id" AS of_tenant, count(*) AS documents,
      sum(coalesce(nullif(d."file_size", 0), d."size", 0)) AS bytes
    FROM departed d GROUP BY 1 ORDER BY 1
  LOOP
    PERFORM "public".rehouse_shift_usage(change.of_tenant, -change.documents, -change.bytes);
  END LOOP;
  RETURN NULL;
END $$;

-- For a row whose tenant or size changed, and for no other.
CREATE OR REPLACE FUNCTION "public".rehouse_document_changed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bytes_before bigint := coalesce(nullif(OLD."file_size", 0), OLD."size", 0);
  bytes_after bigint := coalesce(nullif(NEW."file_size", 0), NEW."size", 0);
BEGIN
  IF OLD."tenant_id" IS NOT DISTINCT FROM NEW."tenant_id" THEN
    PERFORM "public".rehouse_shift_usage(NEW."tenant_id", 0, bytes_after - bytes_before);
  ELSIF OLD."tenant_id" < NEW."tenant_id" THEN
    PERFORM "public".rehouse_shift_usage(OLD."tenant_id", -1, -bytes_before);
    PERFORM "public".rehouse_shift_usage(NEW."tenant_id", 1, bytes_after);
  ELSE
    PERFORM "public".rehouse_shift_usage(NEW."tenant_id", 1, bytes_after);
    PERFORM "public".rehouse_shift_usage(OLD."tenant_id", -1, -bytes_before);
  END IF;
  RETURN NULL;
END $$;

-- TRUNCATE leaves nothing to count.
CREATE OR REPLACE FUNCTION "public".rehouse_documents_truncated() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE "public"."tenant_usage" u SET documents_count = 0, storage_used_bytes = 0, storage_used_mb = 0, updated_at = now()
  WHERE u.month >= date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::date;
  RETURN NULL;
END $$;

-- Makes this month's row and the next one's for every tenant, one transaction for each tenant.
CREATE OR REPLACE PROCEDURE "public".rehouse_roll_months() LANGUAGE plpgsql AS $$
DECLARE
  rolled_tenant integer;
BEGIN
  FOR rolled_tenant IN SELECT t."id" FROM "public"."tenants" t ORDER BY 1 LOOP
    PERFORM "public".rehouse_open_months(rolled_tenant);
    COMMIT;
  END LOOP;
END $$;

-- Counts every tenant's documents again, one transaction for each tenant. The row's lock comes first and the count after
-- it: what was committed before is counted, what comes later waits and is added.
CREATE OR REPLACE PROCEDURE "public".rehouse_recount_usage() LANGUAGE plpgsql AS $$
DECLARE
  counted_tenant integer;
  this_month date;
BEGIN
  FOR counted_tenant IN SELECT t."id" FROM "public"."tenants" t ORDER BY 1 LOOP
    this_month := "public".rehouse_open_months(counted_tenant);
    UPDATE "public"."tenant_usage" u SET documents_count = counted.documents, storage_used_bytes = counted.bytes,
      storage_used_mb = round(counted.bytes / 1048576), updated_at = now()
    FROM (SELECT count(*) AS documents, coalesce(sum(coalesce(nullif(d."file_size", 0), d."size", 0)), 0) AS bytes
      FROM "public"."documents" d WHERE d."tenant_id" = counted_tenant) counted
    WHERE u.tenant_id = counted_tenant AND u.month >= this_month;
    COMMIT;
  END LOOP;
END $$;

-- What the triggers use they use with the rights of whoever made them, whatever the application's role may do; nobody
-- else may call it.
REVOKE ALL ON FUNCTION "public".rehouse_open_month(integer, date), "public".rehouse_open_months(integer),
  "public".rehouse_shift_usage(integer, bigint, numeric) FROM PUBLIC;
COMMIT;

-- this month's usage is opened
-- One transaction for each tenant, so outside any other.
CALL "public".rehouse_roll_months();

-- documents are counted as they change
BEGIN;
SET LOCAL lock_timeout = 200;
-- The triggers on documents; the older tool's, which counts everything again for every row, goes in the same transaction.
DROP TRIGGER IF EXISTS trigger_update_tenant_storage ON "public"."documents";
DROP TRIGGER IF EXISTS rehouse_documents_arrived ON "public"."documents";
CREATE TRIGGER rehouse_documents_arrived AFTER INSERT ON "public"."documents" REFERENCING NEW TABLE AS arrived
  FOR EACH STATEMENT EXECUTE FUNCTION "public".rehouse_documents_arrived();
DROP TRIGGER IF EXISTS rehouse_documents_departed ON "public"."documents";
CREATE TRIGGER rehouse_documents_departed AFTER DELETE ON "public"."documents" REFERENCING OLD TABLE AS departed
  FOR EACH STATEMENT EXECUTE FUNCTION "public".rehouse_documents_departed();
DROP TRIGGER IF EXISTS rehouse_document_changed ON "public"."documents";
CREATE TRIGGER rehouse_document_changed AFTER UPDATE ON "public"."documents" FOR EACH ROW
  WHEN (OLD."tenant_id" IS DISTINCT FROM NEW."tenant_id"
    OR coalesce(nullif(OLD."file_size", 0), OLD."size", 0)
      <> coalesce(nullif(NEW."file_size", 0), NEW."size", 0))
  EXECUTE FUNCTION "public".rehouse_document_changed();
DROP TRIGGER IF EXISTS rehouse_documents_truncated ON "public"."documents";
CREATE TRIGGER rehouse_documents_truncated AFTER TRUNCATE ON "public"."documents"
  FOR EACH STATEMENT EXECUTE FUNCTION "public".rehouse_documents_truncated();
COMMIT;

-- tenant_usage is counted
CALL "public".rehouse_recount_usage();

INSERT INTO public.rehouse_schema_version (version_num) VALUES ('0001') RETURNING public.rehouse_schema_version.version_num;

