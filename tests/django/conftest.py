"""A Django project on a database with the ledger's tables and triggers, two tenants, and the rights of the application's role."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from tests.support.application_role import make_application_role
from tests.support.data_room import Room
from tests.support.django_project import setup

from rehouse.django import close_storages
from rehouse.operations import init as initialising

setup.configure()


@pytest.fixture
def room(new_database, bucket, s3_server, storage_settings, monkeypatch) -> Iterator[Room]:
    """The project's database before rehouse, with the tenants `acme` and `globex`."""
    url = new_database(None)
    made = Room(url, bucket, s3_server, storage_settings.model_copy(update={"mapping": setup.MAPPING}))
    setup.connect(url)
    call_command("migrate", verbosity=0)
    for slug in ("acme", "globex"):
        made.sql("INSERT INTO tenants (slug, name, is_active) VALUES (%s, %s, true)", slug, slug)
    told = {"SHARED_BUCKET": bucket, "BUCKET_PREFIX": made.prefix, "ENDPOINT_URL": s3_server.endpoint_url}
    for name, value in (told | {"REGION": s3_server.region}).items():
        monkeypatch.setenv(f"REHOUSE_{name}", value)
    for name, value in setup.MAPPING.documents.model_dump().items():
        monkeypatch.setenv(f"REHOUSE_MAPPING_DOCUMENTS_{name.upper()}", str(value))
    yield made
    close_storages()
    connections.close_all()
    made.close()


@pytest.fixture
def project(room) -> Room:
    """The project after `rehouse init`; Django works with the rights of the application's role."""
    initialising.initialise(room.settings)
    url = make_application_role(room.url, setup.MAPPING)
    role = psycopg.conninfo.conninfo_to_dict(url)["user"]
    room.sql(f"GRANT UPDATE ON documents TO {role}")
    room.sql(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}")
    setup.connect(url)
    return room
