-- name: rehouse_record_fault
-- Record what usage could not do, once per kind of fault until it is fixed. A row on which another transaction relies stays
-- locked until that one ends, so a recount never forgets a fault that it did not see.
CREATE OR REPLACE FUNCTION {schema}.rehouse_record_fault(failed_step text, sql_state text, reason text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rehouse$
BEGIN
  IF current_setting('transaction_isolation') = 'read committed' THEN
    PERFORM 1 FROM {rehouse_usage_faults} f WHERE f.step = failed_step AND f.code = sql_state AND NOT f.is_recounted
    FOR KEY SHARE SKIP LOCKED;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  INSERT INTO {rehouse_usage_faults} (step, code, message) VALUES (failed_step, sql_state, left(reason, 1000));
END $rehouse$;

-- name: rehouse_usage_of_rows
-- Fires once for each INSERT and DELETE, however many rows: it appends one delta per tenant and waits for nobody. A
-- subtransaction guards the first write of a transaction. The later ones need none, because no other session can alter the
-- table meanwhile.
CREATE OR REPLACE FUNCTION {schema}.rehouse_usage_of_rows() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rehouse$
DECLARE
  sign integer := CASE TG_OP WHEN 'DELETE' THEN -1 ELSE 1 END;
  works text;
BEGIN
  IF current_setting('rehouse.usage_works', true) = 'yes' THEN
    INSERT INTO {rehouse_usage_deltas} (tenant_id, documents, bytes)
    SELECT c.{documents.tenant_id}, sign * count(*), sign * sum({bytes.c}) FROM changed c
    WHERE c.{documents.tenant_id} IS NOT NULL GROUP BY 1;
    RETURN NULL;
  END IF;
  BEGIN
    INSERT INTO {rehouse_usage_deltas} (tenant_id, documents, bytes)
    SELECT c.{documents.tenant_id}, sign * count(*), sign * sum({bytes.c}) FROM changed c
    WHERE c.{documents.tenant_id} IS NOT NULL GROUP BY 1;
    works := set_config('rehouse.usage_works', 'yes', true);
  EXCEPTION
    WHEN lock_not_available OR transaction_rollback OR operator_intervention OR out_of_memory THEN RAISE;
    WHEN OTHERS OR assert_failure THEN
      BEGIN
        PERFORM {schema}.rehouse_record_fault('count', SQLSTATE, SQLERRM);
      EXCEPTION WHEN OTHERS OR assert_failure THEN
        RAISE LOG 'rehouse: usage could not be kept, and this could not be recorded: %', SQLERRM;
      END;
  END;
  RETURN NULL;
END $rehouse$;

-- name: rehouse_usage_of_update
-- Fires only for a row whose tenant or size changed.
CREATE OR REPLACE FUNCTION {schema}.rehouse_usage_of_update() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rehouse$
DECLARE
  works text;
BEGIN
  IF current_setting('rehouse.usage_works', true) = 'yes' THEN
    INSERT INTO {rehouse_usage_deltas} (tenant_id, documents, bytes)
    SELECT c.tenant, sum(c.documents), sum(c.bytes) FROM (VALUES
      (OLD.{documents.tenant_id}, -1, -{bytes.old}), (NEW.{documents.tenant_id}, 1, {bytes.new})) c (tenant, documents, bytes)
    WHERE c.tenant IS NOT NULL GROUP BY 1 HAVING sum(c.documents) <> 0 OR sum(c.bytes) <> 0;
    RETURN NULL;
  END IF;
  BEGIN
    INSERT INTO {rehouse_usage_deltas} (tenant_id, documents, bytes)
    SELECT c.tenant, sum(c.documents), sum(c.bytes) FROM (VALUES
      (OLD.{documents.tenant_id}, -1, -{bytes.old}), (NEW.{documents.tenant_id}, 1, {bytes.new})) c (tenant, documents, bytes)
    WHERE c.tenant IS NOT NULL GROUP BY 1 HAVING sum(c.documents) <> 0 OR sum(c.bytes) <> 0;
    works := set_config('rehouse.usage_works', 'yes', true);
  EXCEPTION
    WHEN lock_not_available OR transaction_rollback OR operator_intervention OR out_of_memory THEN RAISE;
    WHEN OTHERS OR assert_failure THEN
      BEGIN
        PERFORM {schema}.rehouse_record_fault('count', SQLSTATE, SQLERRM);
      EXCEPTION WHEN OTHERS OR assert_failure THEN
        RAISE LOG 'rehouse: usage could not be kept, and this could not be recorded: %', SQLERRM;
      END;
  END;
  RETURN NULL;
END $rehouse$;

-- name: rehouse_usage_of_updates
-- The same for a statement on a partitioned table, where an update that moves a row to another partition fires no row trigger.
CREATE OR REPLACE FUNCTION {schema}.rehouse_usage_of_updates() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rehouse$
BEGIN
  INSERT INTO {rehouse_usage_deltas} (tenant_id, documents, bytes)
  SELECT c.tenant, sum(c.documents), sum(c.bytes) FROM (
    SELECT o.{documents.tenant_id} AS tenant, -1 AS documents, -{bytes.o} AS bytes FROM former o
    UNION ALL SELECT n.{documents.tenant_id}, 1, {bytes.n} FROM changed n) c
  WHERE c.tenant IS NOT NULL GROUP BY 1 HAVING sum(c.documents) <> 0 OR sum(c.bytes) <> 0;
  RETURN NULL;
EXCEPTION
  WHEN lock_not_available OR transaction_rollback OR operator_intervention OR out_of_memory THEN RAISE;
  WHEN OTHERS OR assert_failure THEN
    BEGIN
      PERFORM {schema}.rehouse_record_fault('count', SQLSTATE, SQLERRM);
    EXCEPTION WHEN OTHERS OR assert_failure THEN
      RAISE LOG 'rehouse: usage could not be kept, and this could not be recorded: %', SQLERRM;
    END;
    RETURN NULL;
END $rehouse$;

-- name: rehouse_usage_of_part_truncate
-- Nothing shows what a partition held once it is empty, so this requests a recount.
CREATE OR REPLACE FUNCTION {schema}.rehouse_usage_of_part_truncate() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rehouse$
BEGIN
  PERFORM {schema}.rehouse_record_fault('count', '0A000', 'TRUNCATE of the partition ' || TG_TABLE_NAME);
  RETURN NULL;
EXCEPTION
  WHEN lock_not_available OR transaction_rollback OR operator_intervention OR out_of_memory THEN RAISE;
  WHEN OTHERS OR assert_failure THEN
    RAISE LOG 'rehouse: usage could not be kept, and this could not be recorded: %', SQLERRM;
    RETURN NULL;
END $rehouse$;

-- name: rehouse_add_month
-- Create a tenant's row for a month from its last level, unless it exists. A deleted tenant gets none.
CREATE OR REPLACE FUNCTION {schema}.rehouse_add_month(opened_tenant {documents_tenant_type}, opened_month date)
RETURNS void LANGUAGE plpgsql AS $rehouse$
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
END $rehouse$;

-- name: rehouse_open_months
-- Lock a tenant's rows of this and next month, create missing ones, and return whether that was possible without waiting for a
-- lock. A month starts at the level of the row before it, which stays locked meanwhile.
CREATE OR REPLACE FUNCTION {schema}.rehouse_open_months(opened_tenant {documents_tenant_type}, this_month date)
RETURNS boolean LANGUAGE plpgsql AS $rehouse$
DECLARE
  next_month date := this_month + interval '1 month';
  held integer;
BEGIN
  FOR opening IN 0..1 LOOP
    SELECT count(*) INTO held FROM (SELECT FROM {tenant_usage} u WHERE u.tenant_id = opened_tenant AND u.month = (
      SELECT max(l.month) FROM {tenant_usage} l WHERE l.tenant_id = opened_tenant AND l.month <= this_month)
      FOR NO KEY UPDATE SKIP LOCKED) locked;
    IF held = 0 AND EXISTS (SELECT FROM {tenant_usage} u WHERE u.tenant_id = opened_tenant AND u.month <= this_month) THEN
      RETURN false;
    END IF;
    PERFORM {schema}.rehouse_add_month(opened_tenant, CASE opening WHEN 0 THEN this_month ELSE next_month END);
  END LOOP;
  SELECT count(*) INTO held FROM (SELECT FROM {tenant_usage} u
    WHERE u.tenant_id = opened_tenant AND u.month IN (this_month, next_month) FOR NO KEY UPDATE SKIP LOCKED) locked;
  RETURN held = 2;
END $rehouse$;

-- name: rehouse_fold_usage
-- Add at most a thousand pending deltas of a tenant to its usage, if nobody has locked its rows; return how many were folded.
-- Each delta counts from its own month on. It needs READ COMMITTED, because the second statement must see what was committed
-- before the first one locked the rows. Nearly all deltas are dead rows that vacuum has not collected yet. An index scan skips
-- those that it met before, while any other scan reads all of them each time.
CREATE OR REPLACE FUNCTION {schema}.rehouse_fold_usage(folded_tenant {documents_tenant_type})
RETURNS bigint LANGUAGE plpgsql SET enable_bitmapscan = off SET enable_seqscan = off AS $rehouse$
DECLARE
  this_month date := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
  next_month date := this_month + interval '1 month';
  held integer;
  folded bigint;
BEGIN
  PERFORM FROM {tenant_usage} u WHERE u.tenant_id = folded_tenant AND u.month IN (this_month, next_month)
  FOR NO KEY UPDATE SKIP LOCKED;
  GET DIAGNOSTICS held = ROW_COUNT;
  IF held < 2 AND NOT {schema}.rehouse_open_months(folded_tenant, this_month) THEN
    DELETE FROM {rehouse_usage_deltas} d WHERE d.tenant_id = folded_tenant AND NOT EXISTS (
      SELECT FROM {tenants} t WHERE t.{tenants.id} = folded_tenant);
    RETURN 0;
  END IF;
  WITH taken AS (
    DELETE FROM {rehouse_usage_deltas} d WHERE d.ctid = ANY (ARRAY(
      SELECT p.ctid FROM {rehouse_usage_deltas} p WHERE p.tenant_id = folded_tenant ORDER BY p.id LIMIT 1000))
    RETURNING d.documents, d.bytes, date_trunc('month', d.at AT TIME ZONE 'UTC')::date AS month),
  added AS (
    UPDATE {tenant_usage} u SET documents_count = coalesce(u.documents_count, 0) + s.documents,
      storage_used_bytes = coalesce(u.storage_used_bytes, 0) + s.bytes,
      storage_used_mb = least(round((coalesce(u.storage_used_bytes, 0) + s.bytes) / 1048576), 2147483647), updated_at = now()
    FROM (
      SELECT l.month, sum(t.documents) AS documents, sum(t.bytes) AS bytes
      FROM taken t JOIN {tenant_usage} l ON l.tenant_id = folded_tenant AND l.month >= t.month GROUP BY 1) s
    WHERE u.tenant_id = folded_tenant AND u.month = s.month)
  SELECT count(*) INTO folded FROM taken;
  RETURN folded;
END $rehouse$;

-- name: rehouse_fold_at_commit
-- Fold at the end of the transaction, so that its locks are held only during the commit, never within the transaction (SET
-- CONSTRAINTS), and wait for no lock. At REPEATABLE READ and above, a row that changed meanwhile would raise an error in the
-- application, so other sessions fold. A session may fold 200 times at once and 200 times a second: `rehouse.fold_credit` is
-- the time when all its folds are paid for. A fold that met another one or took long costs more. After a transaction's first
-- fold, the others check whether their delta still exists. Settings are assigned, because PERFORM would run a query for each.
CREATE OR REPLACE FUNCTION {schema}.rehouse_fold_at_commit() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rehouse$
DECLARE
  began double precision := extract(epoch FROM clock_timestamp());
  paid double precision := coalesce(nullif(current_setting('rehouse.fold_credit', true), ''), '0');
  own_timeout text;
  told text;
BEGIN
  IF paid > began + 1 OR pg_trigger_depth() > 1 OR current_setting('transaction_isolation') <> 'read committed'
    OR coalesce(current_query() ~* '^[[:space:]]*set[[:space:]]+constraints', false) THEN
    RETURN NULL;
  END IF;
  paid := greatest(began, paid);
  BEGIN
    IF current_setting('rehouse.has_folded', true) = 'yes' AND NOT EXISTS (
      SELECT FROM {rehouse_usage_deltas} d WHERE d.tenant_id = NEW.tenant_id AND d.id = NEW.id) THEN
      RETURN NULL;
    END IF;
    own_timeout := current_setting('lock_timeout');
    told := set_config('lock_timeout', '1ms', true);
    paid := paid + CASE WHEN {schema}.rehouse_fold_usage(NEW.tenant_id) > 0 THEN 0.005 ELSE 0.2 END;
    told := set_config('lock_timeout', own_timeout, true);
    told := set_config('rehouse.has_folded', 'yes', true);
  EXCEPTION
    WHEN lock_not_available THEN paid := paid + 0.2;
    WHEN transaction_rollback OR operator_intervention OR out_of_memory THEN RAISE;
    WHEN OTHERS OR assert_failure THEN
      BEGIN
        PERFORM {schema}.rehouse_record_fault('fold', SQLSTATE, SQLERRM);
      EXCEPTION WHEN OTHERS OR assert_failure THEN
        RAISE LOG 'rehouse: usage could not be kept, and this could not be recorded: %', SQLERRM;
      END;
      paid := paid + 0.2;
  END;
  told := set_config('rehouse.fold_credit', (paid + 20 * (extract(epoch FROM clock_timestamp()) - began))::text, false);
  RETURN NULL;
END $rehouse$;

-- name: rehouse_usage_of_truncate
-- TRUNCATE takes back everything that was counted. It locks the table exclusively, so no change is in progress. At REPEATABLE
-- READ it does not see what was committed after its snapshot, so this requests a recount.
CREATE OR REPLACE FUNCTION {schema}.rehouse_usage_of_truncate() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $rehouse$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM {schema}.rehouse_record_fault('count', '0A000', 'TRUNCATE at ' || current_setting('transaction_isolation'));
    RETURN NULL;
  END IF;
  INSERT INTO {rehouse_usage_deltas} (tenant_id, documents, bytes)
  SELECT l.tenant_id, -sum(l.documents), -sum(l.bytes) FROM (
    SELECT u.tenant_id, coalesce(u.documents_count, 0) AS documents, coalesce(u.storage_used_bytes, 0) AS bytes
    FROM {tenant_usage} u WHERE u.month = (
      SELECT max(m.month) FROM {tenant_usage} m WHERE m.tenant_id = u.tenant_id
        AND m.month <= date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC'))
    UNION ALL
    SELECT d.tenant_id, d.documents, d.bytes FROM {rehouse_usage_deltas} d) l
  GROUP BY 1 HAVING sum(l.documents) <> 0 OR sum(l.bytes) <> 0;
  RETURN NULL;
EXCEPTION
  WHEN lock_not_available OR transaction_rollback OR operator_intervention OR out_of_memory THEN RAISE;
  WHEN OTHERS OR assert_failure THEN
    BEGIN
      PERFORM {schema}.rehouse_record_fault('count', SQLSTATE, SQLERRM);
    EXCEPTION WHEN OTHERS OR assert_failure THEN
      RAISE LOG 'rehouse: usage could not be kept, and this could not be recorded: %', SQLERRM;
    END;
    RETURN NULL;
END $rehouse$;

-- name: rehouse_settle_usage
-- Fold what is pending and create missing rows of this and next month, in short transactions. A tenant whose rows are locked is
-- skipped. The deltas of a deleted tenant are dropped.
CREATE OR REPLACE PROCEDURE {schema}.rehouse_settle_usage() LANGUAGE plpgsql AS $rehouse$
DECLARE
  this_month date := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
  settled_tenant {documents_tenant_type};
BEGIN
  FOR settled_tenant IN
    SELECT DISTINCT d.tenant_id FROM {rehouse_usage_deltas} d UNION
    SELECT t.{tenants.id} FROM {tenants} t WHERE 2 > (SELECT count(*) FROM {tenant_usage} u
      WHERE u.tenant_id = t.{tenants.id} AND u.month IN (this_month, (this_month + interval '1 month')::date))
  LOOP
    WHILE {schema}.rehouse_fold_usage(settled_tenant) > 0 LOOP
      COMMIT;
    END LOOP;
    COMMIT;
  END LOOP;
  DELETE FROM {rehouse_usage_faults} f WHERE NOT EXISTS (SELECT FROM {rehouse_usage_deltas}) AND f.id IN (
    SELECT g.id FROM {rehouse_usage_faults} g WHERE g.step = 'fold' FOR UPDATE SKIP LOCKED);
END $rehouse$;

-- name: rehouse_recount_usage
-- Count every tenant's documents again and append the difference. The count, the usage and the pending deltas are read in one
-- snapshot, so no row is locked and nobody waits. Only one recount may run at a time, because two would add the difference
-- twice.
CREATE OR REPLACE PROCEDURE {schema}.rehouse_recount_usage() LANGUAGE plpgsql AS $rehouse$
DECLARE
  this_month date;
  counted_tenant {documents_tenant_type};
BEGIN
  UPDATE {rehouse_usage_faults} f SET is_recounted = true WHERE f.id IN (
    SELECT g.id FROM {rehouse_usage_faults} g WHERE NOT g.is_recounted FOR UPDATE SKIP LOCKED);
  COMMIT;
  FOR counted_tenant IN SELECT t.{tenants.id} FROM {tenants} t ORDER BY 1 LOOP
    this_month := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
    PERFORM pg_advisory_xact_lock(7304651893271004113);
    INSERT INTO {rehouse_usage_deltas} (tenant_id, documents, bytes)
    SELECT counted_tenant, counted.documents - known.documents, counted.bytes - known.bytes FROM
      (SELECT count(*) AS documents, coalesce(sum({bytes.d}), 0) AS bytes FROM {documents} d
        WHERE d.{documents.tenant_id} = counted_tenant) counted,
      (SELECT coalesce(sum(k.documents), 0) AS documents, coalesce(sum(k.bytes), 0) AS bytes FROM (
        SELECT coalesce(u.documents_count, 0) AS documents, coalesce(u.storage_used_bytes, 0) AS bytes FROM {tenant_usage} u
        WHERE u.tenant_id = counted_tenant AND u.month = (SELECT max(m.month) FROM {tenant_usage} m
          WHERE m.tenant_id = counted_tenant AND m.month <= this_month)
        UNION ALL
        SELECT p.documents, p.bytes FROM {rehouse_usage_deltas} p WHERE p.tenant_id = counted_tenant) k) known
    WHERE counted.documents <> known.documents OR counted.bytes <> known.bytes;
    COMMIT;
    WHILE {schema}.rehouse_fold_usage(counted_tenant) > 0 LOOP
      COMMIT;
    END LOOP;
    FOR attempt IN 1..100 LOOP
      EXIT WHEN NOT EXISTS (SELECT FROM {tenant_usage} l JOIN {tenant_usage} u ON u.tenant_id = l.tenant_id AND u.month >= l.month
        WHERE l.tenant_id = counted_tenant AND l.month = this_month
          AND (u.documents_count, u.storage_used_bytes, u.storage_used_mb) IS DISTINCT FROM (coalesce(l.documents_count, 0),
            coalesce(l.storage_used_bytes, 0), least(round(coalesce(l.storage_used_bytes, 0) / 1048576.0), 2147483647)));
      IF {schema}.rehouse_open_months(counted_tenant, this_month) THEN
        UPDATE {tenant_usage} u SET documents_count = coalesce(l.documents_count, 0),
          storage_used_bytes = coalesce(l.storage_used_bytes, 0),
          storage_used_mb = least(round(coalesce(l.storage_used_bytes, 0) / 1048576.0), 2147483647), updated_at = now()
        FROM {tenant_usage} l WHERE l.tenant_id = counted_tenant AND l.month = this_month
          AND u.tenant_id = l.tenant_id AND u.month >= l.month;
      ELSIF attempt = 100 THEN
        RAISE EXCEPTION 'another transaction holds the usage of the tenant %', counted_tenant USING ERRCODE = 'lock_not_available';
      END IF;
      COMMIT;
      PERFORM pg_sleep(0.01);
    END LOOP;
    COMMIT;
  END LOOP;
  DELETE FROM {rehouse_usage_faults} f WHERE f.is_recounted;
  COMMIT;
END $rehouse$;

-- name: usage_rights
-- The triggers run with the rights of the role that created them, whatever rights the application's role has. No other role
-- may use these functions in triggers.
REVOKE ALL ON FUNCTION {schema}.rehouse_usage_of_rows(), {schema}.rehouse_usage_of_update(),
  {schema}.rehouse_usage_of_truncate(), {schema}.rehouse_usage_of_updates(), {schema}.rehouse_usage_of_part_truncate(),
  {schema}.rehouse_fold_at_commit() FROM PUBLIC;

-- name: usage_fold_trigger
-- Deferred, so that it runs at the end of the transaction.
DROP TRIGGER IF EXISTS rehouse_fold_at_commit ON {rehouse_usage_deltas};
CREATE CONSTRAINT TRIGGER rehouse_fold_at_commit AFTER INSERT ON {rehouse_usage_deltas} DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION {schema}.rehouse_fold_at_commit();

-- name: usage_row_triggers
-- The triggers on documents. An UPDATE that changes neither the tenant nor a size fires none of them.
CREATE TRIGGER rehouse_usage_insert AFTER INSERT ON {documents} REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_usage_of_rows();
CREATE TRIGGER rehouse_usage_delete AFTER DELETE ON {documents} REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_usage_of_rows();
CREATE TRIGGER rehouse_usage_update AFTER UPDATE ON {documents} FOR EACH ROW
  WHEN (OLD.{documents.tenant_id} IS DISTINCT FROM NEW.{documents.tenant_id} OR {is_resized})
  EXECUTE FUNCTION {schema}.rehouse_usage_of_update();
CREATE TRIGGER rehouse_usage_truncate AFTER TRUNCATE ON {documents}
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_usage_of_truncate();

-- name: usage_partition_triggers
-- The triggers on a partitioned table. Each partition has its own for statements that name it.
CREATE TRIGGER rehouse_usage_insert AFTER INSERT ON {documents} REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_usage_of_rows();
CREATE TRIGGER rehouse_usage_delete AFTER DELETE ON {documents} REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_usage_of_rows();
CREATE TRIGGER rehouse_usage_update AFTER UPDATE ON {documents} REFERENCING OLD TABLE AS former NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_usage_of_updates();
CREATE TRIGGER rehouse_usage_truncate AFTER TRUNCATE ON {documents}
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_usage_of_truncate();

-- name: usage_trial
-- Count the rows of a temporary table like documents, without guards, so that any error occurs here, and undo everything.
DO $trial$
DECLARE
  required name;
  tried {documents_tenant_type};
BEGIN
  CREATE TEMPORARY TABLE rehouse_trial (LIKE {documents});
  ALTER TABLE pg_temp.rehouse_trial ADD COLUMN IF NOT EXISTS {documents.file_size} bigint; -- if documents.file_size
  FOR required IN SELECT a.attname FROM pg_attribute a
    WHERE a.attrelid = 'pg_temp.rehouse_trial'::regclass AND a.attnum > 0 AND a.attnotnull LOOP
    EXECUTE format('ALTER TABLE pg_temp.rehouse_trial ALTER %I DROP NOT NULL', required);
  END LOOP;
  {trial_triggers}
  PERFORM set_config('rehouse.usage_works', 'yes', true);
  INSERT INTO pg_temp.rehouse_trial SELECT * FROM {documents} LIMIT 100;
  BEGIN
    INSERT INTO pg_temp.rehouse_trial ({documents.tenant_id}) SELECT t.{tenants.id} FROM {tenants} t LIMIT 1;
    UPDATE pg_temp.rehouse_trial SET {documents.size} = 2; -- if documents.size
    UPDATE pg_temp.rehouse_trial SET {documents.file_size} = 2; -- if documents.file_size
  EXCEPTION WHEN not_null_violation OR check_violation THEN NULL;
  END;
  DELETE FROM pg_temp.rehouse_trial;
  FOR tried IN SELECT DISTINCT d.tenant_id FROM {rehouse_usage_deltas} d LIMIT 10 LOOP
    PERFORM {schema}.rehouse_fold_usage(tried);
  END LOOP;
  RAISE EXCEPTION 'the trial is over' USING ERRCODE = 'RH000';
EXCEPTION WHEN SQLSTATE 'RH000' THEN NULL;
END $trial$;

-- name: usage_triggers_dropped
-- Drop the triggers of this version, of the first one, and of an older tool, which counts everything again for every row.
DROP TRIGGER IF EXISTS trigger_update_tenant_storage ON {documents};
DROP TRIGGER IF EXISTS rehouse_documents_arrived ON {documents};
DROP TRIGGER IF EXISTS rehouse_documents_departed ON {documents};
DROP TRIGGER IF EXISTS rehouse_document_changed ON {documents};
DROP TRIGGER IF EXISTS rehouse_documents_truncated ON {documents};
DROP TRIGGER IF EXISTS rehouse_usage_insert ON {documents};
DROP TRIGGER IF EXISTS rehouse_usage_delete ON {documents};
DROP TRIGGER IF EXISTS rehouse_usage_update ON {documents};
DROP TRIGGER IF EXISTS rehouse_usage_truncate ON {documents};

-- name: first_usage_functions_dropped
-- Drop the functions that the triggers of the first version called.
DROP FUNCTION IF EXISTS {schema}.rehouse_documents_arrived();
DROP FUNCTION IF EXISTS {schema}.rehouse_documents_departed();
DROP FUNCTION IF EXISTS {schema}.rehouse_document_changed();
DROP FUNCTION IF EXISTS {schema}.rehouse_documents_truncated();
DROP FUNCTION IF EXISTS {schema}.rehouse_shift_usage({tenant_id_type}, bigint, numeric);
DROP FUNCTION IF EXISTS {schema}.rehouse_open_months({tenant_id_type});
DROP FUNCTION IF EXISTS {schema}.rehouse_open_month({tenant_id_type}, date);
DROP PROCEDURE IF EXISTS {schema}.rehouse_roll_months();

-- name: unsettled_usage
-- Count the tenants that have pending deltas or lack a row of this or next month (plus the failed folds), and return whether this
-- session could settle them.
SELECT count(*) + (SELECT count(*) FROM {rehouse_usage_faults} f WHERE f.step = 'fold') AS unsettled,
  NOT current_setting('transaction_read_only')::boolean AND has_table_privilege(%(usage)s, 'SELECT, INSERT, UPDATE')
    AND has_table_privilege(%(deltas)s, 'DELETE') AS may_settle
FROM (
  SELECT d.tenant_id::text FROM {rehouse_usage_deltas} d UNION
  SELECT t.{tenants.id}::text FROM {tenants} t WHERE 2 > (
    SELECT count(*) FROM {tenant_usage} u WHERE u.tenant_id = t.{tenants.id}
      AND u.month IN (date_trunc('month', now() AT TIME ZONE 'UTC')::date,
        (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month')::date))) unsettled;

-- name: settle_usage
-- Commits a transaction per tenant, so it must run outside a transaction.
CALL {schema}.rehouse_settle_usage();

-- name: pending_usage
-- Count the deltas that are not folded yet.
SELECT count(*) FROM {rehouse_usage_deltas};

-- name: usage_faults
-- Return the faults of the triggers, newest first.
SELECT f.step, f.code, f.message FROM {rehouse_usage_faults} f ORDER BY f.id DESC LIMIT 20;
