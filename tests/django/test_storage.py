"""The documented API of a Storage, and what a FieldFile makes of it."""

from __future__ import annotations

import io
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation, SuspiciousOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import default_storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.test import Client
from tests.support.django_project.models import Document, Tenant
from tests.support.django_project.tenancy import acting_as, current_tenant

from rehouse.core.errors import QuotaExceeded
from rehouse.django import NoCurrentTenant, TenantFileRefused, TenantFileStorage, close_storages
from rehouse.runtime.streams import SINGLE_BYTES


@pytest.fixture
def acme(project):
    """The project, within acme."""
    with acting_as("acme"):
        yield project


def save(name="a.txt", body=b"hello"):
    return default_storage.save(name, ContentFile(body))


def add(name="report.pdf", body=b"hello"):
    return Document.objects.create(
        tenant=Tenant.objects.get(slug=current_tenant()), file=SimpleUploadedFile(name, body, "application/pdf")
    )


def test_every_method_of_the_storage_api(acme):
    name = default_storage.save("papers/Q3 report.txt", ContentFile("grüße"))
    assert name == "tenants/1/papers/Q3 report.txt"
    assert default_storage.exists(name)
    assert default_storage.size(name) == len("grüße".encode())
    assert default_storage.open(name).read() == "grüße".encode()
    assert default_storage.open(name, "r").read() == "grüße"
    with urllib.request.urlopen(default_storage.url(name)) as answer:
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "Q3" in answer.headers["content-disposition"]
        assert answer.headers["content-type"] == "text/plain"
    with urllib.request.urlopen(default_storage.url(name, inline=True, as_name="x.txt", expires=60)) as answer:
        assert answer.headers["content-disposition"].startswith("inline")
        assert "x.txt" in answer.headers["content-disposition"]
    assert datetime.now(UTC) - default_storage.get_modified_time(name) < timedelta(minutes=1)
    assert default_storage.get_created_time(name) == default_storage.get_modified_time(name)
    for call in (default_storage.get_accessed_time, default_storage.path):
        with pytest.raises(NotImplementedError):
            call(name)
    assert default_storage.listdir("tenants/1") == (["papers"], [])
    assert default_storage.listdir("tenants/1/papers/") == ([], ["Q3 report.txt"])
    assert default_storage.get_available_name(name) != name
    assert default_storage.generate_filename("a/c?.txt") == "a/c.txt"
    default_storage.delete(name)
    assert not default_storage.exists(name)


def test_names_may_be_paths_and_text_is_kept(acme):
    name = default_storage.save(Path("a/b.txt"), io.BytesIO(b"x"))
    assert default_storage.exists(Path(name))
    assert default_storage.size(Path(name)) == 1


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd"])
def test_names_that_lead_out_are_refused(acme, name):
    for call in (
        default_storage.open,
        default_storage.url,
        default_storage.size,
        default_storage.exists,
        default_storage.delete,
    ):
        with pytest.raises(SuspiciousFileOperation):
            call(name)
    with pytest.raises(SuspiciousFileOperation):
        default_storage.save(name, ContentFile(b"x"))


@pytest.mark.parametrize("name", ["a\nb.txt", "a\0b.txt", "x" * 1025])
def test_names_that_cannot_be_stored_are_refused(acme, name):
    with pytest.raises(SuspiciousFileOperation):
        default_storage.save(name, ContentFile(b"x"))
    assert acme.keys(acme.shared) == []


def test_nothing_is_overwritten(acme):
    first, second = save("a.txt", b"1"), save("a.txt", b"2")
    assert first != second
    assert (default_storage.open(first).read(), default_storage.open(second).read()) == (b"1", b"2")


def test_an_object_that_is_already_there_is_not_overwritten(acme):
    acme.put("tenants/1/a.txt", b"somebody's")
    name = save("a.txt", b"new")
    assert name != "tenants/1/a.txt"
    assert default_storage.open(name).read() == b"new"


@pytest.mark.parametrize("mode", ["w", "wb", "ab", "r+b", "xb"])
def test_a_file_is_not_opened_for_writing(acme, mode):
    with pytest.raises(ValueError, match="reading only"):
        default_storage.open(save(), mode)


def test_a_field_file_reads_seeks_and_reopens(acme):
    document = Document.objects.get(pk=add(body=b"one\ntwo\nthree").pk)
    assert document.file.size == 13
    with document.file.open() as file:
        assert file.readline() == b"one\n"
        file.seek(-5, io.SEEK_END)
        assert file.read() == b"three"
    assert [*document.file.open().chunks(4)] == [b"one\n", b"two\n", b"thre", b"e"]
    assert [*document.file.open()] == [b"one\n", b"two\n", b"three"]
    document.file.close()
    assert document.file.open().read(3) == b"one"


def test_a_large_file_goes_in_parts(acme):
    body = bytes(range(256)) * (SINGLE_BYTES // 256) + b"end"
    document = add("large.bin", body)
    assert document.file.size == len(body)
    found = Document.objects.get(pk=document.pk)
    assert b"".join(found.file.chunks()) == body
    [(size, etag)] = acme.sql("SELECT file_size, etag FROM documents")
    assert size == len(body)
    assert "-" in etag


def test_a_large_file_of_unknown_size_arrives_whole(acme):
    body = b"x" * (SINGLE_BYTES + 1)

    class Unknown(File):
        size = property(lambda self: (_ for _ in ()).throw(AttributeError("unknown")))

    name = default_storage.save("large.bin", Unknown(io.BytesIO(body)))
    assert default_storage.size(name) == len(body)
    assert default_storage.open(name).read() == body


def test_the_trigger_fills_in_the_row(acme):
    document = add(body=b"hello")
    [row] = acme.sql("SELECT file, s3_bucket, file_size, etag IS NOT NULL, s3_migrated_at FROM documents")
    assert row == (document.file.name, acme.shared, 5, True, None)
    assert acme.sql("SELECT state, document_id FROM s3_upload_grants") == [("confirmed", None)]


def test_bulk_writes_and_updates_name_the_bucket_too(acme):
    acme.migrate()
    tenant = Tenant.objects.get(slug="acme")
    Document.objects.bulk_create([Document(tenant=tenant, title=each, file=save(f"{each}.txt")) for each in "ab"])
    Document.objects.filter(title="a").update(file=save("c.txt", b"third"))
    assert acme.sql("SELECT DISTINCT s3_bucket FROM documents") == [(acme.home(),)]
    assert Document.objects.get(title="a").file.read() == b"third"


def test_a_second_row_of_the_same_file_has_its_bucket(acme):
    acme.migrate()
    document = add()
    acme.sql("DELETE FROM s3_upload_grants")  # as after a week
    other = Document.objects.create(tenant=document.tenant, file=document.file.name)
    assert other.file.read() == b"hello"
    assert acme.sql("SELECT DISTINCT s3_bucket FROM documents") == [(acme.home(),)]


def test_an_emptied_field_leaves_no_bucket(acme):
    document = add()
    document.file = ""
    document.save()
    assert acme.sql("SELECT file, s3_bucket, etag FROM documents") == [("", None, None)]


def test_the_plan_s_limits_count(acme):
    acme.sql("ALTER TABLE tenants ADD max_documents bigint")
    acme.sql("UPDATE tenants SET max_documents = 1")
    add()
    with pytest.raises(QuotaExceeded, match="acme"):
        add("second.pdf")
    assert Document.objects.count() == 1


def test_a_storage_in_a_migration_is_written_by_its_public_path(acme):
    storage = TenantFileStorage(tenant="app.tenants.current", url_expires=60)
    field = models.FileField(storage=storage)
    text, imports = MigrationWriter.serialize(field)
    assert "rehouse.django.TenantFileStorage(tenant='app.tenants.current', url_expires=60)" in text
    assert "import rehouse.django" in imports


def test_a_request_uploads_and_downloads(acme):
    client = Client()
    with acting_as(None):
        made = client.post("/upload", {"file": SimpleUploadedFile("a.pdf", b"hello")}, headers={"x-tenant": "acme"})
        url = client.get(f"/download/{made.content.decode()}", headers={"x-tenant": "acme"}).url
        assert client.get("/download/1", headers={"x-tenant": "initech"}).status_code == 400
        assert client.get("/download/1").status_code == 400
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"hello"


def test_a_storage_without_a_resolver_is_refused():
    for wrong in (None, "", 7):
        with pytest.raises(ImproperlyConfigured, match="tenant"):
            TenantFileStorage(tenant=wrong)
    assert storages["default"] is not None


@pytest.mark.parametrize("wrong", ["no.such.module", "tests.support.django_project.setup.APP"])
def test_a_resolver_that_cannot_be_called_is_refused(acme, wrong):
    with pytest.raises(ImproperlyConfigured, match="OPTIONS"):
        TenantFileStorage(tenant=wrong).exists("x")


@pytest.mark.parametrize("none", [None, ""])
def test_no_tenant_is_no_default(project, none):
    storage = TenantFileStorage(tenant=lambda: none)
    for call in (storage.open, storage.exists, storage.url, storage.size, storage.delete, storage.listdir):
        with pytest.raises(NoCurrentTenant) as caught:
            call("a.txt")
        assert isinstance(caught.value, SuspiciousOperation)
    with pytest.raises(NoCurrentTenant):
        storage.save("a.txt", ContentFile(b"x"))
    assert project.keys(project.shared) == []


@pytest.mark.parametrize("wrong", [True, 1.5, object()])
def test_a_resolver_returns_a_slug_or_an_id(project, wrong):
    with pytest.raises(ImproperlyConfigured, match="slug or the id"):
        TenantFileStorage(tenant=lambda: wrong).exists("a.txt")


def test_an_unknown_or_inactive_tenant_is_refused(project):
    with pytest.raises(TenantFileRefused, match="initech"):
        TenantFileStorage(tenant=lambda: "initech").exists("a.txt")
    project.sql("UPDATE tenants SET is_active = false WHERE slug = 'acme'")
    with pytest.raises(TenantFileRefused, match="not active"):
        TenantFileStorage(tenant=lambda: 1).exists("a.txt")


def test_without_the_triggers_nothing_is_stored(acme):
    from tests.support.django_project import setup

    from rehouse.core.errors import DatabaseRefused

    acme.sql("DROP TRIGGER rehouse_bucket_insert ON documents")
    close_storages()
    setup.connect(acme.url)
    with pytest.raises(DatabaseRefused, match="triggers"):
        save()
