-- Rows that the older tool wrote: a "completed" that is not true, two rows of one tenant, one that hangs.
INSERT INTO s3_migrations (tenant_id, old_bucket, new_bucket, documents_migrated, status, started_at, completed_at, error_message)
SELECT t.id, old.old_bucket, old.new_bucket, old.documents_migrated, old.status, old.started_at::timestamp,
       old.completed_at::timestamp, old.error_message
FROM (VALUES
    ('acme-corp', 'dataroom-v2-demo-company-documents', 'dataroom-saas-acme-corp-never-made', 15, 'completed',
     '2025-03-01 10:00', '2025-03-01 10:05', NULL),
    ('globex', 'dataroom-v2-demo-company-documents', 'dataroom-saas-globex-0a1b', 4, 'failed',
     '2025-03-02 10:00', NULL, 'NoSuchKey'),
    ('globex', 'dataroom-v2-demo-company-documents', 'dataroom-saas-globex-2c3d', 0, 'in_progress',
     '2025-03-03 10:00', NULL, NULL),
    ('default-org', 'dataroom-v2-demo-company-documents', 'dataroom-v2-demo-company-documents', 40, 'completed',
     '2025-03-04 10:00', '2025-03-04 10:01', NULL)
) AS old (slug, old_bucket, new_bucket, documents_migrated, status, started_at, completed_at, error_message)
JOIN tenants t USING (slug);

INSERT INTO tenant_s3_config (tenant_id, cors_rules)
SELECT id, '[{"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "PUT"]}]' FROM tenants WHERE slug = 'acme-corp';

INSERT INTO tenant_usage (tenant_id, month, documents_count, storage_used_mb, api_calls_count)
SELECT id, date '2025-03-01', 15, 3, 120 FROM tenants WHERE slug = 'acme-corp';
