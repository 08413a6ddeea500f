-- The application's two tables as a migration finds them; columns that do not matter to it are here for their types' sake.
-- __tenant_key__ and __tenant_id__ are "serial" and "integer", or "uuid DEFAULT gen_random_uuid()" and "uuid".
CREATE TABLE tenants (
    id __tenant_key__ PRIMARY KEY,
    name varchar(255) NOT NULL,
    slug varchar(255) NOT NULL UNIQUE,
    aws_bucket_name varchar(255) UNIQUE,
    is_active boolean NOT NULL DEFAULT true,
    subscription_tier varchar(50) NOT NULL DEFAULT 'standard',
    subscription_status varchar(50) NOT NULL DEFAULT 'active',
    settings jsonb NOT NULL DEFAULT '{}',
    max_storage_gb integer NOT NULL DEFAULT 100,
    max_documents integer NOT NULL DEFAULT 1000,
    max_users integer NOT NULL DEFAULT 50,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE documents (
    id varchar(255) PRIMARY KEY,
    tenant_id __tenant_id__ REFERENCES tenants (id) ON DELETE CASCADE,
    original_name varchar(500) NOT NULL,
    filename varchar(500) NOT NULL,
    s3_bucket varchar(255),
    s3_key varchar(1000),
    etag varchar(255),
    mimetype varchar(255),
    size bigint NOT NULL,
    file_size bigint DEFAULT 0,
    status varchar(50) NOT NULL DEFAULT 'ready',
    cloudinary_url text,
    tags jsonb NOT NULL DEFAULT '[]',
    analysis jsonb,
    client_id varchar(255),
    uploaded_by varchar(255),
    uploaded_at timestamptz DEFAULT now()
);
