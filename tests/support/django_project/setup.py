"""Configure Django once in a process, and point it to a database of a test."""

from __future__ import annotations

import django
import psycopg
from django.conf import settings
from django.db import connections

from rehouse.config.sections import DocumentsTable, TableMapping

MAPPING = TableMapping(
    documents=DocumentsTable(s3_key="file", original_name="", size="", uploaded_at="", by_key=True),
)
"""What rehouse.toml of the project says."""
APP = "tests.support.django_project"


def configure() -> None:
    """Configure Django, with the storage as the default one."""
    if settings.configured:
        return
    settings.configure(
        INSTALLED_APPS=[APP],
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql"}},
        STORAGES={
            "default": {
                "BACKEND": "rehouse.django.TenantFileStorage",
                "OPTIONS": {"tenant": f"{APP}.tenancy.current_tenant"},
            },
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF=f"{APP}.urls",
        MIDDLEWARE=[f"{APP}.tenancy.TenantMiddleware"],
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
    )
    django.setup()


def connect(url: str) -> None:
    """Let Django use this database from now on, in every thread."""
    connections.close_all()
    parts = psycopg.conninfo.conninfo_to_dict(url)
    found = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    changed = {name: str(parts.get(part, "")) for name, part in found.items()}
    connections.databases["default"].update(changed)
    connections["default"].settings_dict.update(changed)
