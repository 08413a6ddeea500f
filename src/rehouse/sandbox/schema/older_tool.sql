-- What the older migration tool left in the database: its tables, and a trigger that recounts a tenant's whole
-- documents table for every row changed.
CREATE TABLE tenant_usage (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id __tenant_id__ REFERENCES tenants (id) ON DELETE CASCADE,
    month date NOT NULL,
    documents_count integer DEFAULT 0,
    storage_used_mb integer DEFAULT 0,
    api_calls_count integer DEFAULT 0,
    active_users_count integer DEFAULT 0,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now(),
    UNIQUE (tenant_id, month)
);

CREATE TABLE s3_migrations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id __tenant_id__ REFERENCES tenants (id) ON DELETE CASCADE,
    old_bucket varchar(255),
    new_bucket varchar(255),
    documents_migrated integer DEFAULT 0,
    status varchar(50) DEFAULT 'pending' CHECK (status IN ('pending', 'in_progress', 'completed', 'failed')),
    started_at timestamp,
    completed_at timestamp,
    error_message text,
    created_at timestamp DEFAULT now()
);

CREATE TABLE tenant_s3_config (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id __tenant_id__ UNIQUE REFERENCES tenants (id) ON DELETE CASCADE,
    lifecycle_rules jsonb DEFAULT '[]',
    cors_rules jsonb DEFAULT '[]',
    encryption_enabled boolean DEFAULT true,
    versioning_enabled boolean DEFAULT true,
    created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now()
);

CREATE FUNCTION update_tenant_storage() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed __tenant_id__ := CASE WHEN TG_OP = 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
BEGIN
    IF changed IS NOT NULL THEN
        INSERT INTO tenant_usage (tenant_id, month, documents_count, storage_used_mb)
        SELECT changed, date_trunc('month', CURRENT_DATE)::date, count(*), coalesce(sum(size), 0) / 1048576
        FROM documents WHERE tenant_id = changed
        ON CONFLICT (tenant_id, month) DO UPDATE
        SET documents_count = EXCLUDED.documents_count, storage_used_mb = EXCLUDED.storage_used_mb, updated_at = now();
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER trigger_update_tenant_storage AFTER INSERT OR UPDATE OR DELETE ON documents
    FOR EACH ROW EXECUTE FUNCTION update_tenant_storage();
