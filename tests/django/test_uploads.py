"""What a crash leaves: an upload that no row names is swept, and no row gets a key whose object is or will be gone."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import IntegrityError, InternalError, connection, transaction
from django.db.utils import DatabaseError
from tests.support.age_grants import age
from tests.support.django_project.models import Document, Tenant
from tests.support.django_project.tenancy import acting_as

from rehouse.django.connections import storage_of


@pytest.fixture
def acme(project):
    """The project, within acme."""
    with acting_as("acme"):
        yield project


def sweep():
    found = storage_of(None, "default").sweep()
    assert found.failed == ()
    return found


def save(name="a.txt", body=b"hello"):
    return default_storage.save(name, ContentFile(body))


def write_row(name):
    return Document.objects.create(tenant=Tenant.objects.get(slug="acme"), file=name)


@pytest.mark.parametrize("is_cut_over", [False, True])
def test_a_file_that_no_row_names_is_swept_after_a_day(acme, is_cut_over):
    if is_cut_over:
        acme.migrate()
    name = save()
    bucket = acme.home() if is_cut_over else acme.shared
    sweep()
    assert name in acme.keys(bucket)
    age(acme)
    sweep()
    assert name not in acme.keys(bucket)
    assert not default_storage.exists(name)


def test_a_file_with_a_row_is_never_swept(acme):
    document = write_row(save())
    for _ in range(4):  # two days each: a confirmed upload is kept for a week
        age(acme)
        sweep()
    assert Document.objects.get(pk=document.pk).file.read() == b"hello"
    assert acme.sql("SELECT count(*) FROM s3_upload_grants") == [(0,)]


def test_a_row_cannot_get_a_file_that_was_given_up(acme):
    name = save()
    age(acme)
    acme.sql("UPDATE s3_upload_grants SET state = 'aborted'")
    with pytest.raises(IntegrityError, match="given up"):
        write_row(name)


def test_a_row_cannot_get_a_file_whose_upload_has_not_ended(acme):
    name = save()
    acme.sql("UPDATE s3_upload_grants SET etag = NULL")
    with pytest.raises(IntegrityError, match="given up"):
        write_row(name)


def test_a_row_cannot_get_a_deleted_file_back(acme):
    document = write_row(save())
    stale = Document.objects.get(pk=document.pk)
    document.file.delete()
    with pytest.raises(IntegrityError, match="deleted"):
        stale.save()


def test_a_snapshot_that_cannot_see_the_upload_is_refused(acme):
    tenant = Tenant.objects.get(slug="acme")
    with pytest.raises((InternalError, DatabaseError), match="repeatable read"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT 1 FROM tenants")
        Document.objects.create(tenant=tenant, file=save())
    assert Document.objects.count() == 0


def test_a_failed_upload_leaves_no_object_and_no_row(acme):
    class Broken(ContentFile):
        def chunks(self, chunk_size=None):
            yield b"begun"
            raise OSError("the browser went away")

    with pytest.raises(OSError, match="went away"):
        default_storage.save("a.txt", Broken(b"x"))
    assert acme.keys(acme.shared) == []
    assert acme.sql("SELECT state FROM s3_upload_grants WHERE state <> 'aborted'") == []


def test_a_cutover_between_the_upload_and_the_row_loses_nothing(acme):
    name = save()
    acme.migrate()
    document = write_row(name)
    assert document.file.read() == b"hello"
    acme.migrate()
    moved = Document.objects.get(pk=document.pk)
    assert moved.file.read() == b"hello"
    assert acme.sql("SELECT s3_bucket FROM documents") == [(acme.home(),)]


def test_uninstall_takes_the_triggers_away(acme):
    from rehouse.operations import uninstall as uninstalling

    write_row(save())
    uninstalling.uninstall(acme.settings)
    assert acme.sql("SELECT tgname FROM pg_trigger WHERE tgname LIKE 'rehouse%%'") == []
    assert acme.sql("SELECT proname FROM pg_proc WHERE proname LIKE 'rehouse%%'") == []
