-- name: append_only
-- Make the history append-only, so that nobody changes or deletes a line by mistake.
CREATE OR REPLACE FUNCTION {schema}.rehouse_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 's3_migration_events is append only' USING ERRCODE = 'insufficient_privilege';
END $$;
DROP TRIGGER IF EXISTS rehouse_append_only ON {schema}.s3_migration_events;
CREATE TRIGGER rehouse_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.s3_migration_events
  FOR EACH STATEMENT EXECUTE FUNCTION {schema}.rehouse_append_only();

-- name: adopt_older_migrations
-- Turn every row of an older tool into a line of the history, and keep each tenant's newest row.
INSERT INTO {schema}.s3_migration_events (tenant_id, event, reason)
SELECT m.tenant_id, 'adopted', jsonb_strip_nulls(to_jsonb(m))::text FROM {schema}.s3_migrations m
ORDER BY m.created_at NULLS FIRST;
DELETE FROM {schema}.s3_migrations WHERE tenant_id IS NULL OR ctid NOT IN (
  SELECT DISTINCT ON (tenant_id) ctid FROM {schema}.s3_migrations
  ORDER BY tenant_id, created_at DESC NULLS LAST, started_at DESC NULLS LAST, id DESC);

-- name: begin_again
-- Reset the kept rows to pending, because an older "completed" proves nothing.
UPDATE {schema}.s3_migrations SET status = 'pending', documents_migrated = 0, started_at = NULL, completed_at = NULL,
  error_message = NULL;

-- name: adopt_older_usage
-- Where a tenant has two rows for a month, turn them into lines of the history and keep the one that was written last.
LOCK TABLE {schema}.tenant_usage IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO {schema}.s3_migration_events (tenant_id, event, reason)
SELECT u.tenant_id, 'adopted', jsonb_strip_nulls(to_jsonb(u))::text FROM {schema}.tenant_usage u WHERE EXISTS (
  SELECT 1 FROM {schema}.tenant_usage o WHERE o.tenant_id = u.tenant_id AND o.month = u.month AND o.ctid <> u.ctid);
DELETE FROM {schema}.tenant_usage WHERE tenant_id IS NOT NULL AND ctid NOT IN (
  SELECT DISTINCT ON (tenant_id, month) ctid FROM {schema}.tenant_usage
  ORDER BY tenant_id, month, updated_at DESC NULLS LAST, id DESC);
