-- name: may_publish
-- Return whether this role may write what a command publishes while it runs, and whether the server takes writes. `role`: its name,
-- as statements write it.
SELECT has_table_privilege(%(name)s, 'SELECT') AND has_table_privilege(%(name)s, 'INSERT')
  AND has_table_privilege(%(name)s, 'UPDATE') AND has_table_privilege(%(name)s, 'DELETE')
  AND current_setting('transaction_read_only') = 'off' AS may_publish,
  quote_ident(current_user) AS role;

-- name: publishing_begins
-- Hold the lock that marks the command as alive for as long as this session lives.
SELECT pg_try_advisory_lock(%(lock_key)s) AS is_held;

-- name: forget_dead_progress
-- Delete the rows of commands that were killed: nobody holds their locks.
DELETE FROM {s3_migration_progress} WHERE run_id <> %(run_id)s AND lock_key NOT IN (
  SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()));

-- name: publish_progress
-- Publish what has changed since the last time, in one statement for the command and all tenants at work.
WITH ended AS (DELETE FROM {s3_migration_progress} WHERE run_id = %(run_id)s AND subject = ANY(%(ended)s::text[]))
INSERT INTO {s3_migration_progress} AS p (run_id, subject, lock_key, command, host, step, message, tenants_done, tenants, documents,
  documents_total, documents_failed, bytes_copied, begun_at, updated_at)
SELECT %(run_id)s, told.subject, %(lock_key)s, %(command)s, %(host)s, told.step, told.message, told.tenants_done, told.tenants,
  told.documents, told.documents_total, told.documents_failed, told.bytes_copied,
  clock_timestamp() - %(elapsed)s * interval '1 second', clock_timestamp()
FROM unnest(%(subjects)s::text[], %(steps)s::text[], %(messages)s::text[], %(tenants_done)s::bigint[], %(tenants)s::bigint[],
  %(documents)s::bigint[], %(documents_total)s::bigint[], %(documents_failed)s::bigint[], %(bytes_copied)s::bigint[])
  AS told (subject, step, message, tenants_done, tenants, documents, documents_total, documents_failed, bytes_copied)
ON CONFLICT (run_id, subject) DO UPDATE SET step = excluded.step, message = excluded.message,
  tenants_done = excluded.tenants_done, tenants = excluded.tenants, documents = excluded.documents,
  documents_total = excluded.documents_total, documents_failed = excluded.documents_failed,
  bytes_copied = excluded.bytes_copied, updated_at = excluded.updated_at;

-- name: forget_progress
-- Delete the rows of a command at its end.
DELETE FROM {s3_migration_progress} WHERE run_id = %(run_id)s;

-- name: published
-- Return what every command has published, and whether it is alive, by the clock and the locks of the database.
SELECT p.run_id::text AS run_id, p.subject, p.command, p.host, p.step, p.message, p.tenants_done, p.tenants, p.documents,
  p.documents_total, p.documents_failed, p.bytes_copied,
  greatest(0, extract(epoch FROM clock_timestamp() - p.begun_at))::float8 AS elapsed,
  greatest(0, extract(epoch FROM clock_timestamp() - p.updated_at))::float8 AS age,
  p.lock_key IN (
    SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) AS is_held
FROM {s3_migration_progress} p ORDER BY p.begun_at, p.run_id, p.subject;

-- name: may_read
-- Return the first of some tables that this role may not read, and the role's name as statements write it.
SELECT t.name, quote_ident(current_user) AS role FROM unnest(%(names)s::text[]) t (name) WHERE NOT has_table_privilege(t.name, 'SELECT') LIMIT 1;

-- name: database_time
-- Return the database's clock.
SELECT clock_timestamp() AS at;

-- name: phases
-- Return the phases of some tenants' migrations.
SELECT m.tenant_id, m.phase FROM {s3_migrations} m WHERE m.tenant_id::text = ANY(%(tenant_ids)s::text[]);

-- name: latest_events
-- Return the newest lines of the history, newest first.
SELECT e.id, e.at, e.actor, e.tenant_id, e.run_id::text AS run_id, e.event, e.from_phase, e.to_phase, e.reason
FROM {s3_migration_events} e ORDER BY e.id DESC LIMIT %(limit)s;
