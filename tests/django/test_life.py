"""A plain FileField through a whole life: before the migration, during it, after the cutover, a rollback, and again."""

from __future__ import annotations

import urllib.request
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from tests.support.age_grants import age
from tests.support.django_project.models import Document, Tenant
from tests.support.django_project.tenancy import acting_as

from rehouse.core.lifecycle import Phase
from rehouse.operations import finish as finishing
from rehouse.operations import rollback as rolling_back


def add(title, body=b"hello", slug="acme", name="report.pdf"):
    document = Document(tenant=Tenant.objects.get(slug=slug), title=title)
    document.file.save(name, ContentFile(body))
    return document


def read(title):
    document = Document.objects.get(title=title)
    with document.file.open() as file:
        found = file.read()
    with urllib.request.urlopen(document.file.url) as answer:
        assert answer.read() == found
    assert document.file.size == len(found)
    assert default_storage.exists(document.file.name)
    return found


def old_row(room, title, body, slug="acme"):
    """A row and an object as the project wrote them before rehouse, with plain keys in one bucket."""
    room.put(f"invoices/2024/{title}.pdf", body)
    tenant = Tenant.objects.get(slug=slug)
    Document.objects.create(tenant=tenant, title=title, file=f"invoices/2024/{title}.pdf")


def roll_back(room):
    with room.services() as services:
        return rolling_back.roll_back_one(services, services.ledger.tenant("acme"))


def test_a_filefield_works_through_a_whole_life(project):
    old_row(project, "old", b"old")
    with acting_as("acme"):
        assert read("old") == b"old"
        add("early", b"early")
        assert read("early") == b"early"
        project.migrate(until=Phase.VERIFIED)
        add("between", b"between")
        assert project.migrate().documents_migrated == 3
        assert {title: read(title) for title in ("old", "early", "between")} == {
            "old": b"old", "early": b"early", "between": b"between"
        }  # fmt: skip
        assert add("at home", b"at home").file.name.startswith("invoices/")
        assert project.sql("SELECT DISTINCT s3_bucket FROM documents") == [(project.home(),)]
        assert read("at home") == b"at home"
        roll_back(project)
        assert {title: read(title) for title in ("old", "early", "between", "at home")} == {
            "old": b"old", "early": b"early", "between": b"between", "at home": b"at home"
        }  # fmt: skip
        assert add("back", b"back").file.name.startswith("tenants/")
        project.migrate()
        with project.services(grace_days=0) as services:
            finishing.finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))
        age(project)
        for title in ("old", "early", "between", "at home", "back"):
            assert read(title) == title.encode()


def test_a_stale_instance_follows_its_row(project):
    old_row(project, "old", b"old")
    with acting_as("acme"):
        stale = Document.objects.get(title="old")
        before = stale.file.name
        project.migrate()
        assert stale.file.open().read() == b"old"
        stale.title = "renamed"
        stale.save()
        assert read("renamed") == b"old"
        assert Document.objects.get().file.name != before
        stale = Document.objects.get()
        roll_back(project)
        assert stale.file.read() == b"old"
        stale.save()
        assert (Document.objects.get().file.name, read("renamed")) == (before, b"old")


def test_a_new_file_never_takes_the_name_of_a_moved_one(project):
    old_row(project, "old", b"old")
    with acting_as("acme"):
        stale = Document.objects.get(title="old")
        project.migrate()
        name = default_storage.save(stale.file.name, ContentFile(b"new"))
        assert name != stale.file.name
        assert stale.file.read() == b"old"


@pytest.mark.parametrize("is_cut_over", [False, True])
def test_delete_empties_the_row_and_removes_the_object(project, is_cut_over):
    with acting_as("acme"):
        if is_cut_over:
            project.migrate()
        document = add("gone")
        bucket = project.sql("SELECT s3_bucket FROM documents")[0][0]
        name = document.file.name
        assert name in project.keys(bucket)
        document.file.delete()
        assert project.sql("SELECT file, s3_bucket FROM documents") == [("", None)]
        assert name not in project.keys(bucket)
        assert not default_storage.exists(name)
        with pytest.raises(FileNotFoundError):
            default_storage.open(name)
        default_storage.delete(name)


@pytest.mark.parametrize("is_cut_over", [False, True])
def test_delete_after_its_row_removes_the_object(project, is_cut_over):
    old_row(project, "moved", b"moved")
    with acting_as("acme"):
        if is_cut_over:
            project.migrate()
            document = Document.objects.get(title="moved")
        else:
            document = add("gone")
        bucket = project.sql("SELECT s3_bucket FROM documents WHERE id = %s", document.pk)[0][0]
        name = document.file.name
        document.delete()
        assert name in project.keys(bucket)
        document.file.delete(save=False)
        assert name not in project.keys(bucket)
