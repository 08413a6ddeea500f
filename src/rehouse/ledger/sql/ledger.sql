-- name: database
-- Return the database's name, and whether this role may ask for the identifier of its cluster.
SELECT current_database()::text AS name,
  coalesce(has_function_privilege(to_regprocedure('pg_control_system()'), 'EXECUTE'), false) AS is_identifiable;

-- name: system_identifier
-- Return the identifier that initdb gave the cluster. A copy of the data directory keeps it, a restored dump does not.
SELECT system_identifier::text AS identifier FROM pg_control_system();

-- name: tenants
-- Return every tenant in order of slug, whatever the case and the database's collation. The slug may be mapped to a column of any type.
SELECT t.{tenants.id} AS tenant_id, t.{tenants.slug}::text AS slug, t.{tenants.name}::text AS name,
  t.{tenants.aws_bucket_name} AS home, {active.t} AS is_active
FROM {tenants.rows} t WHERE t.{tenants.id} IS NOT NULL
ORDER BY lower(t.{tenants.slug}::text COLLATE "C"), t.{tenants.slug}::text COLLATE "C", t.{tenants.id};

-- name: tenant
-- Return a tenant's present row.
SELECT t.{tenants.name}::text AS name, t.{tenants.aws_bucket_name} AS home, {active.t} AS is_active
FROM {tenants.rows} t WHERE t.{tenants.id} = %(tenant_id)s;

-- name: migration
-- Return a tenant's migration.
SELECT m.tenant_id, m.run_id, m.phase, m.home_bucket, m.previous_home, m.status, m.documents_failed,
  coalesce(m.run_failed, false) AS run_failed,
  EXISTS (SELECT 1 FROM s3_migration_events e WHERE e.tenant_id = m.tenant_id AND e.event = 'home_switched') AS was_live
FROM s3_migrations m WHERE m.tenant_id = %(tenant_id)s AND home_bucket IS NOT NULL;

-- name: others_at
-- Return the other tenants that have or reserved this bucket, because a bucket belongs to one tenant only.
SELECT t.{tenants.id} AS tenant_id FROM {tenants.rows} t LEFT JOIN s3_migrations m ON m.tenant_id = t.{tenants.id}
WHERE t.{tenants.id} <> %(tenant_id)s AND %(home_bucket)s IN (t.{tenants.aws_bucket_name}, m.home_bucket) ORDER BY 1;

-- name: begin_run
-- Give the tenant's one row to this run. The bucket's name is reserved once; a later run keeps it.
INSERT INTO s3_migrations AS m (tenant_id, old_bucket, new_bucket, home_bucket, documents_migrated, phase, status, run_id, started_at)
VALUES (%(tenant_id)s, %(shared_bucket)s, %(home_bucket)s::text, %(home_bucket)s::text, 0, 'planned', 'in_progress', %(run_id)s, now())
ON CONFLICT (tenant_id) DO UPDATE SET
  old_bucket = coalesce(m.old_bucket, excluded.old_bucket),
  new_bucket = coalesce(m.home_bucket, excluded.home_bucket),
  home_bucket = coalesce(m.home_bucket, excluded.home_bucket),
  phase = coalesce(m.phase, 'planned'),
  documents_migrated = CASE WHEN m.phase IS NULL THEN 0 ELSE m.documents_migrated END,
  status = 'in_progress', run_id = excluded.run_id, started_at = now(), completed_at = NULL,
  error_message = NULL, run_failed = NULL, updated_at = now()
RETURNING tenant_id, run_id, phase, home_bucket, previous_home, status, documents_failed, false AS run_failed,
  EXISTS (SELECT 1 FROM s3_migration_events e WHERE e.tenant_id = m.tenant_id AND e.event = 'home_switched') AS was_live;

-- name: rename_home
-- Reserve another name for a bucket that was never created. An existing bucket is never renamed.
UPDATE s3_migrations SET home_bucket = %(home_bucket)s::text, new_bucket = %(home_bucket)s::text
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = 'planned' RETURNING 1;

-- name: advance
-- Compare-and-set of the phase, together with its event. No row back means that another operator moved the migration first.
WITH moved AS (
  UPDATE s3_migrations SET phase = %(to_phase)s::text, updated_at = now()
  WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = %(from_phase)s::text
  RETURNING tenant_id, run_id
)
INSERT INTO s3_migration_events (tenant_id, run_id, event, from_phase, to_phase, reason)
SELECT tenant_id, run_id, %(event)s, %(from_phase)s::text, %(to_phase)s::text, %(reason)s FROM moved
RETURNING id;

-- name: fence
-- Every write of a run begins here. No row back means that the migration belongs to another run now. For the rest of the
-- transaction the planner must find rows by their keys, in key order: its statistics of a growing ledger, or of documents that
-- have just moved, are old or missing, and a plan that reads a whole tenant for each batch takes quadratic time.
SELECT set_config(planner.setting, 'off', true)
FROM s3_migrations, (VALUES ('enable_hashjoin'), ('enable_mergejoin'), ('enable_sort'), ('enable_bitmapscan')) planner (setting)
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s FOR SHARE OF s3_migrations;

-- name: switch_home
-- Compare-and-set of the application's own column. From here on uploads go to the new bucket.
UPDATE {tenants} SET {tenants.aws_bucket_name} = %(home_bucket)s
WHERE {tenants.id} = %(tenant_id)s AND {tenants.aws_bucket_name} IS NOT DISTINCT FROM %(previous_home)s
RETURNING 1;

-- name: remember_previous_home
-- Record the home before the switch; a rollback returns to it.
UPDATE s3_migrations SET previous_home = %(previous_home)s WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s;

-- name: close_run
-- Record the results of a run, for people and for the overview.
UPDATE s3_migrations SET
  status = %(status)s::text, error_message = %(error_message)s, documents_migrated = %(migrated)s,
  documents_total = %(total)s, documents_skipped = %(skipped)s, documents_failed = %(failed)s,
  documents_accepted = %(accepted)s, documents_waiting = %(waiting)s, documents_at_home = %(at_home)s,
  bytes_copied = %(bytes_copied)s, run_failed = %(run_failed)s, updated_at = now(),
  completed_at = CASE WHEN %(status)s::text = 'completed' THEN now() END
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s
RETURNING 1;

-- name: record_event
-- Add a line to the history without moving a phase.
INSERT INTO s3_migration_events (tenant_id, run_id, event, reason)
VALUES (%(tenant_id)s, %(run_id)s, %(event)s, %(reason)s);

-- name: overview
-- Return every tenant once, whether or not it has a migration, in the order of `tenants`.
SELECT t.{tenants.id} AS tenant_id, t.{tenants.name}::text AS name, {active.t} AS is_active, m.phase,
  coalesce(m.status, 'pending') AS status, coalesce(m.home_bucket, t.{tenants.aws_bucket_name}) AS home_bucket,
  coalesce(m.documents_migrated, 0) AS documents_migrated, m.documents_total, m.documents_skipped,
  m.documents_failed, m.documents_accepted, m.documents_waiting, m.documents_at_home, m.bytes_copied,
  m.started_at, m.completed_at, m.error_message, coalesce(m.run_failed, false) AS run_failed
FROM {tenants.rows} t LEFT JOIN s3_migrations m ON m.tenant_id = t.{tenants.id}
WHERE t.{tenants.id} IS NOT NULL
ORDER BY lower(t.{tenants.slug}::text COLLATE "C"), t.{tenants.slug}::text COLLATE "C", t.{tenants.id};

-- name: history
-- Return a tenant's events, oldest first.
SELECT at, actor, event, from_phase, to_phase, reason
FROM s3_migration_events WHERE tenant_id = %(tenant_id)s ORDER BY id;
