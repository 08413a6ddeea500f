-- name: tenants
-- Every tenant, in order of slug (a slug may be mapped to a column of any type).
SELECT t.{tenants.id} AS tenant_id, t.{tenants.slug}::text AS slug, t.{tenants.name}::text AS name,
  t.{tenants.aws_bucket_name} AS home, {active.t} AS is_active
FROM {tenants.rows} t WHERE t.{tenants.id} IS NOT NULL ORDER BY t.{tenants.slug}, t.{tenants.id};

-- name: tenant
-- One tenant as its row is now.
SELECT t.{tenants.name}::text AS name, t.{tenants.aws_bucket_name} AS home, {active.t} AS is_active
FROM {tenants.rows} t WHERE t.{tenants.id} = %(tenant_id)s;

-- name: migration
-- A tenant's migration as it stands.
SELECT m.tenant_id, m.run_id, m.phase, m.home_bucket, m.previous_home, m.status,
  EXISTS (SELECT 1 FROM s3_migration_events e WHERE e.tenant_id = m.tenant_id AND e.event = 'home_switched') AS was_live
FROM s3_migrations m WHERE m.tenant_id = %(tenant_id)s AND home_bucket IS NOT NULL;

-- name: others_at
-- Other tenants that have this bucket, or to whom it is promised: one bucket is one tenant's.
SELECT t.{tenants.id} AS tenant_id FROM {tenants.rows} t LEFT JOIN s3_migrations m ON m.tenant_id = t.{tenants.id}
WHERE t.{tenants.id} <> %(tenant_id)s AND %(home_bucket)s IN (t.{tenants.aws_bucket_name}, m.home_bucket) ORDER BY 1;

-- name: begin_run
-- Gives the tenant's one row to this run. The bucket's name is reserved once: a retry keeps what is there.
INSERT INTO s3_migrations AS m (tenant_id, old_bucket, new_bucket, home_bucket, documents_migrated, phase, status, run_id, started_at)
VALUES (%(tenant_id)s, %(shared_bucket)s, %(home_bucket)s::text, %(home_bucket)s::text, 0, 'planned', 'in_progress', %(run_id)s, now())
ON CONFLICT (tenant_id) DO UPDATE SET
  old_bucket = coalesce(m.old_bucket, excluded.old_bucket),
  new_bucket = coalesce(m.home_bucket, excluded.home_bucket),
  home_bucket = coalesce(m.home_bucket, excluded.home_bucket),
  phase = coalesce(m.phase, 'planned'),
  documents_migrated = CASE WHEN m.phase IS NULL THEN 0 ELSE m.documents_migrated END,
  status = 'in_progress', run_id = excluded.run_id, started_at = now(), completed_at = NULL,
  error_message = NULL, updated_at = now()
RETURNING tenant_id, run_id, phase, home_bucket, previous_home, status,
  EXISTS (SELECT 1 FROM s3_migration_events e WHERE e.tenant_id = m.tenant_id AND e.event = 'home_switched') AS was_live;

-- name: rename_home
-- Another name for a bucket that was never made; never after that.
UPDATE s3_migrations SET home_bucket = %(home_bucket)s::text, new_bucket = %(home_bucket)s::text
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = 'planned' RETURNING 1;

-- name: advance
-- Compare-and-set, and the event with it: no row back means that another operator moved the migration first.
WITH moved AS (
  UPDATE s3_migrations SET phase = %(to_phase)s::text, updated_at = now()
  WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s AND phase = %(from_phase)s::text
  RETURNING tenant_id, run_id
)
INSERT INTO s3_migration_events (tenant_id, run_id, event, from_phase, to_phase, reason)
SELECT tenant_id, run_id, %(event)s, %(from_phase)s::text, %(to_phase)s::text, %(reason)s FROM moved
RETURNING id;

-- name: fence
-- Every write of a run begins here: no row back means that the migration belongs to another run now. For the rest of the
-- transaction rows are found by their keys and in their order: the planner's statistics of a ledger that grows, or of
-- documents that have just moved, are old or absent, and a plan that reads a whole tenant for each batch is quadratic.
SELECT set_config(planner.setting, 'off', true)
FROM s3_migrations, (VALUES ('enable_hashjoin'), ('enable_mergejoin'), ('enable_sort'), ('enable_bitmapscan')) planner (setting)
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s FOR SHARE OF s3_migrations;

-- name: switch_home
-- Compare-and-set on the application's own column: from here on uploads go to the new bucket.
UPDATE {tenants} SET {tenants.aws_bucket_name} = %(home_bucket)s
WHERE {tenants.id} = %(tenant_id)s AND {tenants.aws_bucket_name} IS NOT DISTINCT FROM %(previous_home)s
RETURNING 1;

-- name: remember_previous_home
-- What the home was before the switch: a rollback returns to it.
UPDATE s3_migrations SET previous_home = %(previous_home)s WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s;

-- name: close_run
-- What a run leaves behind, for people and for the overview.
UPDATE s3_migrations SET
  status = %(status)s::text, error_message = %(error_message)s, documents_migrated = %(migrated)s,
  documents_total = %(total)s, documents_skipped = %(skipped)s, documents_failed = %(failed)s,
  bytes_copied = %(bytes_copied)s, updated_at = now(),
  completed_at = CASE WHEN %(status)s::text = 'completed' THEN now() END
WHERE tenant_id = %(tenant_id)s AND run_id = %(run_id)s
RETURNING 1;

-- name: record_event
-- A line of history that moves no phase.
INSERT INTO s3_migration_events (tenant_id, run_id, event, reason)
VALUES (%(tenant_id)s, %(run_id)s, %(event)s, %(reason)s);

-- name: overview
-- The overview: every tenant once, whether it was begun or not.
SELECT t.{tenants.id} AS tenant_id, t.{tenants.name}::text AS name, {active.t} AS is_active, m.phase,
  coalesce(m.status, 'pending') AS status, coalesce(m.home_bucket, t.{tenants.aws_bucket_name}) AS home_bucket,
  coalesce(m.documents_migrated, 0) AS documents_migrated, m.documents_total, m.documents_skipped,
  m.documents_failed, m.bytes_copied, m.started_at, m.completed_at, m.error_message
FROM {tenants.rows} t LEFT JOIN s3_migrations m ON m.tenant_id = t.{tenants.id}
WHERE t.{tenants.id} IS NOT NULL ORDER BY t.{tenants.name}, t.{tenants.slug}, t.{tenants.id};

-- name: history
-- A tenant's events, oldest first.
SELECT at, actor, event, from_phase, to_phase, reason
FROM s3_migration_events WHERE tenant_id = %(tenant_id)s ORDER BY id;
