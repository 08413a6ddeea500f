"""Outline, Plane and Langfuse go there, back, there again and through `finish` by settings alone, read as they read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.applications import GONE_TEAM, LANGFUSE, OTHER_TEAM, OUTLINE, PLANE, TEAM, Application
from tests.support.data_room import Room

from rehouse.config import Settings
from rehouse.config.sections import TableMapping
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.accept import accept
from rehouse.operations.finish import finish_all
from rehouse.operations.migrate import migrate_all
from rehouse.operations.rollback import roll_back_all
from rehouse.operations.selection import choose_tenants
from rehouse.sandbox.s3_server import S3Server

Open = Callable[[Application], "ApplicationRoom"]


class ApplicationRoom(Room):
    """An application's database and bucket."""

    def __init__(self, url: str, shared: str, server: S3Server, settings: Settings, application: Application) -> None:
        self.application = application
        mapping = TableMapping.model_validate(application.settings())
        super().__init__(url, shared, server, settings.model_copy(update={"mapping": mapping}))
        self.make_tables()
        for tenant, keys in application.keys.items():
            for document_id, key in keys.items():
                self.upload_for(document_id, tenant, key)
        for document_id, key in application.nobody.items():
            self.upload_for(document_id, None, key)
        for tenant, document_id, key in application.never_uploaded:
            self.insert(document_id, tenant, key, uploaded=False)

    def make_tables(self) -> None:
        """Make the application's tables with its tenants."""
        names = {"TEAM": TEAM, "OTHER": OTHER_TEAM, "GONE": GONE_TEAM}
        self.connection.execute(self.application.schema.format(**names).encode())

    def upload_for(self, document_id: str, tenant: str | None, key: str) -> None:
        self.put(key, f"{tenant} {document_id}".encode())
        self.insert(document_id, tenant, key, uploaded=True)

    def insert(self, document_id: str, tenant: str | None, key: str, *, uploaded: bool) -> None:
        values = {"id": document_id, "tenant": tenant, "key": key, "uploaded": uploaded, "shared": self.shared}
        self.connection.execute(self.application.insert.encode(), values)

    def assert_readable(self, *, at_home: bool) -> None:
        """Read every document as the application does."""
        for tenant, document_id in [(t, d) for t, keys in self.application.keys.items() for d in keys]:
            row = self.connection.execute(
                self.application.read.encode(), {"id": document_id, "tenant": tenant}
            ).fetchone()
            assert row is not None
            bucket = row[0] or self.shared
            assert (bucket != self.shared) is at_home
            assert self.root.get_object(Bucket=bucket, Key=row[1])["Body"].read() == f"{tenant} {document_id}".encode()


@pytest.fixture
def new_room(empty_database: str, bucket: str, s3_server: S3Server, storage_settings: Settings) -> Open:
    """Return a function that makes an application's room."""
    return lambda application: ApplicationRoom(empty_database, bucket, s3_server, storage_settings, application)


@pytest.mark.parametrize("application", [OUTLINE, PLANE, LANGFUSE], ids=["outline", "plane", "langfuse"])
def test_it_goes_there_and_back_and_through_finish(new_room: Open, application: Application) -> None:
    made = new_room(application)
    made.put("avatars/an-object-without-a-row")
    with made.services() as services:
        tenants = choose_tenants(services)
        assert {str(each.id): each.slug for each in tenants} == application.tenants
        reports = migrate_all(services, tenants)
        made.assert_readable(at_home=True)
        for tenant, document_id, _ in application.never_uploaded:
            [report] = [each for each in reports if each.tenant_id == tenant]
            assert [(each.document_id, each.code) for each in report.outstanding] == [(document_id, "missing_object")]
            accept(services, services.ledger.tenant(report.slug), [document_id], "it was never uploaded")
        assert {each.status for each in migrate_all(services, tenants)} == {Status.COMPLETED}
        assert {each.errors for each in roll_back_all(services, tenants)} == {0}
        made.assert_readable(at_home=False)
        assert {each.status for each in migrate_all(services, tenants)} == {Status.COMPLETED}
        made.assert_readable(at_home=True)
        finished = finish_all(services, tenants, grace=timedelta(0))
        assert {(each.phase, each.errors) for each in finished} == {(Phase.FINISHED, 0)}
    made.assert_readable(at_home=True)
    assert set(made.keys(made.shared)) == {"avatars/an-object-without-a-row", *application.nobody.values()}
    made.connection.close()


def test_the_page_of_applications_has_the_settings_tried() -> None:
    text = Path("docs/applications.md").read_text(encoding="utf-8")
    shown = [tomllib.loads(block)["mapping"] for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    assert shown == [application.settings() for application in (OUTLINE, PLANE, LANGFUSE)]
