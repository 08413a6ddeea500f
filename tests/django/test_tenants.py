"""Tenants never mix: another tenant's names are refused, whatever threads, tasks and transactions do at once."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import close_old_connections, connection, connections, transaction
from pydantic import SecretStr
from tests.support.application_role import hide_other_tenants
from tests.support.django_project.models import Document, Tenant
from tests.support.django_project.tenancy import acting_as

from rehouse.django import TenantFileStorage
from rehouse.django.connections import address_of
from rehouse.runtime.storage import TenantStorage

SLUGS = ("acme", "globex")


def add(slug, title, body):
    document = Document(tenant=Tenant.objects.get(slug=slug), title=title)
    document.file.save(f"{title}.txt", ContentFile(body))
    return document


def work(slug, number):
    body = f"{slug} {number}".encode()
    with acting_as(slug):
        document = add(slug, f"{slug}-{number}", body)
        with Document.objects.get(pk=document.pk).file.open() as file:
            assert file.read() == body
    connections.close_all()
    return document.file.name


@pytest.mark.parametrize("is_cut_over", [False, True])
def test_another_tenants_names_are_missing(project, is_cut_over):
    with acting_as("acme"):
        name = add("acme", "secret", b"secret").file.name
        if is_cut_over:
            project.migrate()
            name = Document.objects.get().file.name
    with acting_as("globex"):
        for call in (
            default_storage.open,
            default_storage.url,
            default_storage.size,
            default_storage.get_modified_time,
        ):
            with pytest.raises(FileNotFoundError if is_cut_over else SuspiciousFileOperation):
                call(name)
        with pytest.raises(SuspiciousFileOperation):
            default_storage.delete(name)
        assert default_storage.listdir("") == ([], [])
    with acting_as("acme"):
        assert default_storage.open(name).read() == b"secret"


def test_an_uncommitted_upload_of_another_tenant_is_missing(project):
    with acting_as("acme"):
        name = default_storage.save("a.txt", ContentFile(b"secret"))
    with acting_as("globex"):
        for call in (default_storage.open, default_storage.exists, default_storage.delete):
            with pytest.raises(SuspiciousFileOperation):
                call(name)


def test_a_row_with_another_tenants_key_reads_nothing(project):
    with acting_as("acme"):
        name = add("acme", "secret", b"secret").file.name
    document = Document.objects.create(tenant=Tenant.objects.get(slug="globex"), file=name)
    with acting_as("globex"):
        for call in (document.file.open, lambda: document.file.url, document.file.delete):
            with pytest.raises(SuspiciousFileOperation):
                call()
    with acting_as("acme"):
        assert Document.objects.get(title="secret").file.read() == b"secret"


def test_a_row_gets_nothing_of_another_tenants_upload(project):
    project.migrate()
    with acting_as("acme"):
        name = default_storage.save("a.txt", ContentFile(b"secret"))
    Document.objects.create(tenant=Tenant.objects.get(slug="globex"), file=name)
    assert project.sql("SELECT s3_bucket FROM documents") == [(None,)]
    with acting_as("globex"):
        assert not default_storage.exists(name)
        with pytest.raises(FileNotFoundError):
            default_storage.get_modified_time(name)


def test_a_row_that_points_to_another_tenants_bucket_is_refused(project):
    project.migrate()
    with acting_as("acme"):
        name = default_storage.save("a.txt", ContentFile(b"secret"))
    project.sql(
        "INSERT INTO documents (tenant_id, title, file, s3_bucket) SELECT id, '', %s, %s FROM tenants WHERE slug = 'globex'",
        name, project.home(),
    )  # fmt: skip
    with acting_as("globex"), pytest.raises(FileNotFoundError):
        default_storage.open(name)


@pytest.mark.parametrize("is_cut_over", [False, True])
def test_threads_never_mix_tenants(project, is_cut_over):
    if is_cut_over:
        project.migrate()
    jobs = [(slug, number) for slug in SLUGS for number in range(12)]
    random.Random(1).shuffle(jobs)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda job: work(*job), jobs))
    for slug in SLUGS:
        with acting_as(slug):
            for document in Document.objects.filter(tenant__slug=slug):
                assert document.file.read().decode().partition(" ")[0] == slug
    buckets = dict(
        project.sql("SELECT t.slug, min(s3_bucket) FROM documents d JOIN tenants t ON t.id = tenant_id GROUP BY 1")
    )
    assert buckets == {"acme": project.home() if is_cut_over else project.shared, "globex": project.shared}


def test_tasks_never_mix_tenants(project):
    async def task(slug, number):
        with acting_as(slug):
            return slug, await sync_to_async(work, thread_sensitive=False)(slug, number)

    async def every():
        return await asyncio.gather(*(task(slug, number) for number in range(6) for slug in SLUGS))

    ids = dict(project.sql("SELECT slug, id FROM tenants"))
    for slug, name in asyncio.run(every()):
        assert name.startswith(f"tenants/{ids[slug]}/")


def test_many_threads_save_one_name(project):
    names: list[str] = []

    def save(number):
        with acting_as("acme"):
            names.append(default_storage.save("same.txt", ContentFile(b"%d" % number)))
        connections.close_all()

    threads = [threading.Thread(target=save, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 6
    with acting_as("acme"):
        assert {default_storage.open(name).read() for name in names} == {b"%d" % number for number in range(6)}


def test_what_a_transaction_did_is_undone_with_it(project):
    with acting_as("acme"):
        kept = add("acme", "kept", b"kept")
        with pytest.raises(RuntimeError), transaction.atomic():
            lost = add("acme", "lost", b"lost")
            assert lost.file.read() == b"lost"
            Document.objects.get(pk=kept.pk).file.delete()
            assert not default_storage.exists(kept.file.name)
            raise RuntimeError
        assert [each.file.read() for each in Document.objects.all()] == [b"kept"]
        assert project.sql("SELECT count(*) FROM s3_pending_deletions") == [(0,)]
        assert project.sql("SELECT state FROM s3_upload_grants ORDER BY created_at") == [
            ("confirmed",),
            ("confirming",),
        ]


def test_a_savepoint_undoes_its_part(project):
    with acting_as("acme"), transaction.atomic():
        kept = add("acme", "kept", b"kept")
        with pytest.raises(FileNotFoundError), transaction.atomic():
            add("acme", "lost", b"lost")
            default_storage.open("missing")
        assert kept.file.read() == b"kept"
    assert [each.title for each in Document.objects.all()] == ["kept"]


def test_a_deletion_within_a_transaction_waits_for_the_sweep(project):
    with acting_as("acme"):
        document = add("acme", "gone", b"gone")
        name = document.file.name
        with transaction.atomic():
            document.file.delete()
        assert not default_storage.exists(name)
    assert name in project.keys(project.shared)
    project.sql("UPDATE s3_pending_deletions SET created_at = created_at - interval '1 day'")
    from rehouse.django.connections import storage_of

    assert storage_of(None, "default").sweep().failed == ()
    assert name not in project.keys(project.shared)
    close_old_connections()


def test_under_row_security_a_storage_of_ones_own_is_used(project):
    def set_tenant(connection, tenant_id):
        connection.execute("SELECT set_config('app.tenant', %s, true)", [str(tenant_id)])

    address = address_of("default")
    hide_other_tenants(project.url)
    settings = project.settings.model_copy(update={"database_url": SecretStr(address)})
    ids = dict(project.sql("SELECT slug, id FROM tenants"))
    with TenantStorage.open(settings, entering=set_tenant) as opened:
        storage = TenantFileStorage(tenant=lambda: ids["acme"], storage=lambda: opened)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, false)", [str(ids["acme"])])
        name = storage.save("a.txt", ContentFile(b"hello"))
        Document.objects.create(tenant_id=ids["acme"], file=name)
        assert storage.open(name).read() == b"hello"
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, false)", [str(ids["globex"])])
        assert Document.objects.count() == 0
        other = TenantFileStorage(tenant=lambda: ids["globex"], storage=lambda: opened)
        with pytest.raises(SuspiciousFileOperation):
            other.open(name)
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, false)", [str(ids["acme"])])
        storage.delete(name)
        assert project.keys(project.shared) == []
