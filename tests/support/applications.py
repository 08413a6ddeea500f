"""Three public applications' tables as their migrations make them, their settings, and how each reads a document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TEAM, OTHER_TEAM, GONE_TEAM = (f"00000000-0000-4000-8000-00000000000{number}" for number in range(1, 4))


@dataclass(frozen=True)
class Application:
    """An application: DDL and tenants, how a document is inserted and read, and the mapping by settings alone.

    `insert` takes the document's id, its tenant, its key and whether it was uploaded; `read` takes the id and the tenant, and
    returns bucket and key; `keys` the keys of each tenant's documents by id. `nobody`: documents that belong to no tenant.
    """

    schema: str
    mapping: dict[str, dict[str, str]]
    insert: str
    read: str
    tenants: dict[str, str]
    keys: dict[str, dict[str, str]]
    inactive: str
    nobody: dict[str, str] = field(default_factory=dict)
    never_uploaded: tuple[tuple[str, str, str], ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return the mapping."""
        return {"tenants": self.mapping["tenants"], "documents": self.mapping["documents"]}


OUTLINE = Application(
    schema="""
    CREATE TABLE teams (id uuid PRIMARY KEY, name varchar(255) NOT NULL, subdomain varchar(255) UNIQUE, domain varchar(255),
      "createdAt" timestamptz NOT NULL DEFAULT now(), "deletedAt" timestamptz);
    CREATE TABLE attachments (id uuid PRIMARY KEY, "teamId" uuid NOT NULL REFERENCES teams (id) ON DELETE CASCADE, "userId" uuid,
      key varchar(4096) NOT NULL, "contentType" varchar(255) NOT NULL DEFAULT 'text/plain', size bigint NOT NULL DEFAULT 1,
      acl varchar(255) NOT NULL DEFAULT 'public-read', "createdAt" timestamptz NOT NULL, "expiresAt" timestamptz);
    INSERT INTO teams (id, name, subdomain, "deletedAt") VALUES
      ('{TEAM}', 'Acme', 'acme', NULL), ('{OTHER}', 'No subdomain', NULL, NULL), ('{GONE}', 'Gone', 'gone', now());
    """,
    mapping={
        "tenants": {"table": "teams", "slug": "subdomain", "is_active": "!deletedAt"},
        "documents": {
            "table": "attachments",
            "tenant_id": "teamId",
            "original_name": "",
            "s3_key": "key",
            "etag": "",
            "file_size": "",
            "uploaded_at": "createdAt",
        },
    },
    insert="""INSERT INTO attachments (id, "teamId", key, "createdAt") VALUES (%(id)s, %(tenant)s, %(key)s, '2024-01-01')""",
    read='SELECT s3_bucket, key FROM attachments WHERE id = %(id)s AND "teamId" = %(tenant)s',
    tenants={TEAM: "acme", OTHER_TEAM: OTHER_TEAM},
    keys={
        TEAM: {f"10000000-0000-4000-8000-00000000000{n}": f"uploads/u1/{n}/A file {n}.png" for n in range(3)},
        OTHER_TEAM: {f"20000000-0000-4000-8000-00000000000{n}": f"public/u2/{n}/ä.png" for n in range(2)},
    },
    inactive=GONE_TEAM,
)
PLANE = Application(
    schema="""
    CREATE TABLE workspaces (id uuid PRIMARY KEY, name varchar(80) NOT NULL, slug varchar(48) NOT NULL UNIQUE,
      deleted_at timestamptz);
    CREATE TABLE file_assets (id uuid PRIMARY KEY, workspace_id uuid REFERENCES workspaces (id), asset varchar(800) NOT NULL,
      size double precision NOT NULL DEFAULT 1.0, is_uploaded boolean NOT NULL DEFAULT true,
      is_deleted boolean NOT NULL DEFAULT false, deleted_at timestamptz,
      attributes jsonb NOT NULL DEFAULT '{{}}', storage_metadata jsonb, created_at timestamptz NOT NULL);
    INSERT INTO workspaces VALUES ('{TEAM}', 'Acme', 'acme', NULL), ('{OTHER}', 'Globex', 'globex', NULL),
      ('{GONE}', 'Acme, once', 'acme__1700000000', now());
    """,
    mapping={
        "tenants": {"table": "workspaces", "is_active": "!deleted_at"},
        "documents": {
            "table": "file_assets",
            "tenant_id": "workspace_id",
            "original_name": "",
            "s3_key": "asset",
            "etag": "",
            "file_size": "",
            "uploaded_at": "created_at",
        },
    },
    insert="""INSERT INTO file_assets (id, workspace_id, asset, is_uploaded, created_at)
      VALUES (%(id)s, %(tenant)s, %(key)s, %(uploaded)s, '2024-01-01')""",
    read="SELECT s3_bucket, asset FROM file_assets WHERE id = %(id)s AND workspace_id IS NOT DISTINCT FROM %(tenant)s",
    tenants={TEAM: "acme", OTHER_TEAM: "globex"},
    keys={
        TEAM: {f"10000000-0000-4000-8000-00000000000{n}": f"{TEAM}/{n}-a.png" for n in range(3)},
        OTHER_TEAM: {f"20000000-0000-4000-8000-00000000000{n}": f"{OTHER_TEAM}/{n}-b.png" for n in range(2)},
    },
    inactive=GONE_TEAM,
    nobody={"30000000-0000-4000-8000-000000000000": "user-avatar.png"},
    never_uploaded=((TEAM, "40000000-0000-4000-8000-000000000000", f"{TEAM}/never.png"),),
)
LANGFUSE = Application(
    schema="""
    CREATE TABLE projects (id text PRIMARY KEY, name text NOT NULL, org_id text NOT NULL DEFAULT 'org', deleted_at timestamp(3));
    CREATE TABLE media (id text NOT NULL, project_id text NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
      bucket_name text NOT NULL, bucket_path text NOT NULL, content_length bigint NOT NULL DEFAULT 1, upload_http_status integer,
      uploaded_at timestamp(3), created_at timestamp(3) NOT NULL);
    CREATE UNIQUE INDEX media_project_id_id_key ON media (project_id, id);
    CREATE TABLE trace_media (media_id text NOT NULL, project_id text NOT NULL, trace_id text NOT NULL,
      FOREIGN KEY (media_id, project_id) REFERENCES media (id, project_id) ON DELETE CASCADE ON UPDATE CASCADE);
    INSERT INTO projects (id, name, deleted_at) VALUES ('p1', 'One', NULL), ('p2', 'One', NULL), ('p3', 'Gone', now());
    """,
    mapping={
        "tenants": {"table": "projects", "slug": "", "is_active": "!deleted_at"},
        "documents": {
            "table": "media", "tenant_id": "project_id", "original_name": "", "s3_bucket": "bucket_name",
            "s3_key": "bucket_path", "etag": "", "size": "content_length", "file_size": "content_length",
            "uploaded_at": "created_at",
        },
    },
    insert="""INSERT INTO media (id, project_id, bucket_name, bucket_path, uploaded_at, created_at)
      VALUES (%(id)s, %(tenant)s, %(shared)s, %(key)s, CASE WHEN %(uploaded)s THEN now() END, '2024-01-01')""",
    read="SELECT bucket_name, bucket_path FROM media WHERE id = %(id)s AND project_id = %(tenant)s",
    tenants={"p1": "p1", "p2": "p2"},
    keys={
        "p1": {"same-content": "media/p1/same-content.png", "b": "media/p1/b.png"},
        "p2": {"same-content": "media/p2/same-content.png"},
    },
    inactive="p3",
    never_uploaded=(("p2", "never", "media/p2/never.png"),),
)  # fmt: skip
