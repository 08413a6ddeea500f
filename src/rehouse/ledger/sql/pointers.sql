-- name: columns_that_hold_text
-- Return every column of the database that may hold a key: texts, JSON, XML, composites, arrays of these and domains over them. A
-- partitioned table includes its partitions. System tables, our tables and the mapped key column are left out.
WITH RECURSIVE resolved (type, base) AS (
  SELECT oid, oid FROM pg_type
  UNION ALL
  SELECT r.type, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END
  FROM resolved r JOIN pg_type t ON t.oid = r.base WHERE t.typtype = 'd' OR t.typcategory = 'A')
SELECT n.nspname::text AS schema, c.relname::text AS table, a.attname::text AS name, c.relkind::text AS kind,
  nullif(concat_ws(' ',
    CASE WHEN NOT has_schema_privilege(n.oid, 'USAGE')
      THEN format('GRANT USAGE ON SCHEMA %%I TO %%I;', n.nspname, current_user) END,
    CASE WHEN NOT has_column_privilege(c.oid, a.attnum, 'SELECT')
      THEN format('GRANT SELECT ON %%I.%%I TO %%I;', n.nspname, c.relname, current_user) END), '') AS missing_grant,
  c.relkind = 'p' AND EXISTS (
    SELECT 1 FROM pg_partition_tree(c.oid) p JOIN pg_class f ON f.oid = p.relid WHERE f.relkind = 'f') AS has_foreign_partitions
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (n.nspname = %(schema)s AND c.relname = ANY(%(own)s))
  AND NOT (n.nspname = %(schema)s AND c.relname = %(documents)s AND a.attname = %(key)s)
  AND EXISTS (
    SELECT 1 FROM resolved r JOIN pg_type t ON t.oid = r.base
    WHERE r.type = a.atttypid AND (t.typcategory = 'S' OR t.typtype = 'c' OR t.typname IN ('json', 'jsonb', 'xml', 'hstore')))
ORDER BY 1, 2, a.attnum;

-- name: size_of_table
-- Return the bytes of a table and its partitions, including long values but not indexes.
SELECT coalesce(sum(pg_table_size(p.relid)), 0)::bigint FROM (
  SELECT relid FROM pg_partition_tree(%(table)s::text::regclass) UNION SELECT %(table)s::text::regclass) p (relid);

-- name: sources_to_look_for
-- Return keys of a tenant's sources that are not removed yet; with a limit, a sample that is the same in every run.
SELECT source_key AS key FROM s3_migration_documents
WHERE tenant_id = %(tenant_id)s AND target_bucket = %(home_bucket)s AND state IN {states.moved_with_source}
ORDER BY md5(document_id::text) LIMIT %(limit)s;

-- name: keys_to_look_for
-- Return keys of some documents of all tenants, and some keys from which documents were moved.
(SELECT k.key FROM (
  SELECT {documents.s3_key} AS key FROM {documents} TABLESAMPLE SYSTEM (%(percent)s)
  WHERE {documents.s3_key} <> '' AND octet_length({documents.s3_key}) <= 1024) k
ORDER BY random() LIMIT %(limit)s)
UNION
(SELECT m.source_key FROM s3_migration_documents m WHERE m.state IN {states.moved_with_source} LIMIT %(limit)s);

-- name: rows_expected
-- Return how many rows the planner expects in the documents table.
SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = %(table)s::text::regclass;

-- name: some_orphans
-- Return some objects of a bucket to which no row points and from which no migration copied; the same sample in every run.
SELECT i.key, i.size FROM s3_inventory i
WHERE i.run_id = %(run_id)s AND i.bucket = %(bucket)s AND NOT EXISTS (
  SELECT 1 FROM {documents.rows} d WHERE d.{documents.s3_key} COLLATE "C" = i.key
    AND coalesce(nullif(d.{documents.s3_bucket}, ''), %(default_bucket)s) COLLATE "C" = i.bucket)
  AND NOT EXISTS (SELECT 1 FROM s3_migration_documents m WHERE m.source_bucket = i.bucket AND m.source_key = i.key)
  AND NOT EXISTS (SELECT 1 FROM s3_migration_documents m WHERE m.target_bucket = i.bucket AND m.target_key = i.key)
ORDER BY md5(i.key) LIMIT %(limit)s;
