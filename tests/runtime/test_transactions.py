"""The application's own connection, transaction and row security: what is the storage's to commit, and what is not."""

from __future__ import annotations

import threading
from io import BytesIO

import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr
from tests.support.age_grants import age
from tests.support.application_role import hide_other_tenants, make_application_role
from tests.support.children import in_child
from tests.support.pooler import running_pooler

from rehouse.core.errors import NoSuchDocument, Refused, UnknownTenant
from rehouse.runtime.storage import TenantStorage

INSERT = "INSERT INTO documents (id, tenant_id, original_name, filename, size) VALUES (%s, 1, 'n.txt', 'f', 0)"


@pytest.fixture
def connection(room):
    with psycopg.connect(room.url) as made:
        yield made


def upload(handle, document_id="d1", body=b"hello", **more):
    return handle.upload(document_id, "a.txt", BytesIO(body), "text/plain", **more)


def test_a_row_and_its_object_in_one_transaction(room, storage, connection):
    with connection.transaction():
        connection.execute(INSERT, ("d1",))
        upload(storage.for_tenant("acme", connection))
        assert room.sql("SELECT count(*) FROM documents") == [(0,)]
    assert room.body("d1") == b"hello"


def test_a_rolled_back_transaction_leaves_the_row_as_it_was(room, storage, connection):
    room.documents("d1")
    before = room.pointer("d1")
    with connection.transaction(force_rollback=True):
        upload(storage.for_tenant("acme", connection))
    assert room.pointer("d1") == before
    assert room.body("d1") == b"d1"
    assert len(room.keys(room.shared)) == 2
    age(room)
    assert storage.sweep().objects == 1
    assert room.keys(room.shared) == [before[1]]


def test_a_rolled_back_deletion_deletes_nothing(room, storage, connection):
    room.documents("d1")
    with connection.transaction(force_rollback=True):
        storage.for_tenant("acme", connection).delete("d1")
    assert room.body("d1") == b"d1"


def test_a_deletion_in_a_transaction_is_swept(room, storage, connection):
    room.documents("d1")
    with connection.transaction():
        storage.for_tenant("acme", connection).delete("d1")
    assert room.pointer("d1") == (None, None)
    age(room)
    assert storage.sweep().objects == 1
    assert room.keys(room.shared) == []


def test_nothing_stays_open_that_was_not_open_before(room, storage, connection):
    room.documents("d1")
    acme = storage.for_tenant("acme", connection)
    acme.get("d1"), acme.list(), acme.usage(), acme.open("d1").close()
    upload(acme)
    acme.delete("d1")
    assert connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
    assert room.pointer("d1") == (None, None)


def test_a_connection_that_returns_dictionaries_is_fine(room, storage, connection):
    room.documents("d1")
    connection.row_factory = dict_row
    assert storage.for_tenant("acme", connection).get("d1").bucket == room.shared
    assert connection.execute("SELECT 1 AS one").fetchone() == {"one": 1}


def test_on_commit_writes_the_row_in_the_same_transaction(room, storage, connection):
    def insert(stored):
        connection.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, size, s3_bucket, s3_key) "
            "VALUES (%s, 1, %s, 'f', %s, %s, %s)",
            (stored.document_id, stored.name, stored.size, stored.bucket, stored.key),
        )

    stored = upload(storage.for_tenant("acme", connection), on_commit=insert)
    assert room.pointer("d1") == (stored.bucket, stored.key)
    assert room.body("d1") == b"hello"


def test_an_error_of_on_commit_is_raised_as_it_is(room, storage, connection):
    room.row("d1", None)

    def fail(_stored):
        connection.execute(INSERT, ("d1",))

    with pytest.raises(psycopg.errors.UniqueViolation):
        upload(storage.for_tenant("acme", connection), on_commit=fail)
    assert room.pointer("d1") == (None, None)
    age(room)
    storage.sweep()
    assert room.keys(room.shared) == []


def test_an_on_commit_that_writes_nothing_is_refused(room, storage, connection):
    room.row("d1", None)
    with pytest.raises(Refused, match="does not point to the upload"):
        upload(storage.for_tenant("acme", connection), on_commit=lambda stored: None)
    assert room.pointer("d1") == (None, None)


def test_on_delete_deletes_the_row(room, storage, connection):
    room.documents("d1")
    acme = storage.for_tenant("acme", connection)
    acme.delete("d1", on_delete=lambda: connection.execute("DELETE FROM documents WHERE id = 'd1'"))
    assert room.sql("SELECT count(*) FROM documents") == [(0,)]
    assert room.keys(room.shared) == []


def test_without_a_pool_a_transaction_is_refused(room, connection):
    room.row("d1", None)
    settings = room.settings.model_copy(update={"database_url": None})
    with TenantStorage.open(settings) as storage:
        acme = storage.for_tenant("acme", connection)
        upload(acme)
        with connection.transaction(), pytest.raises(Refused, match="has no connection of its own"):
            upload(acme)
        with pytest.raises(Refused, match="no connection of its own"):
            storage.for_tenant("other")
    assert room.body("d1") == b"hello"


def test_row_security_hides_and_entering_shows(room):
    room.tenant("globex")
    room.documents("d1")
    room.documents("g1", slug="globex")
    hide_other_tenants(room.url)
    settings = room.settings.model_copy(
        update={"database_url": SecretStr(make_application_role(room.url, room.settings.mapping))}
    )

    def enter(connection, tenant_id):
        connection.execute("SELECT set_config('app.tenant', %s, true)", [str(tenant_id)])

    with TenantStorage.open(settings) as storage, pytest.raises(UnknownTenant):
        storage.for_tenant(1)
    with TenantStorage.open(settings, entering=enter) as storage:
        acme = storage.for_tenant(1)
        assert upload(acme).size == 5
        assert acme.open("d1").read() == b"hello"
        acme.delete("d1")
        with pytest.raises(NoSuchDocument):
            acme.get("g1")
        age(room)
        assert storage.sweep().failed == ()


def test_a_pooler_in_transaction_mode_is_fine(room, servers_folder):
    room.documents("d1")
    url = make_application_role(room.url, room.settings.mapping)
    with running_pooler(servers_folder, url, "transaction", default_pool_size=1) as pooled:
        settings = room.settings.model_copy(update={"database_url": SecretStr(pooled)})
        with TenantStorage.open(settings) as storage:
            acme = storage.for_tenant("acme")
            for turn in range(8):  # more than psycopg's threshold for prepared statements
                upload(acme, body=f"{turn}".encode())
            assert acme.open("d1").read() == b"7"


def test_a_child_after_a_fork_works_on_its_own(room, storage):
    room.documents("d1")
    acme = storage.for_tenant("acme")
    assert acme.open("d1").read() == b"d1"
    assert in_child(lambda: acme.open("d1").read() == b"d1" and upload(acme, body=b"of the child").size == 12) == 0
    assert acme.open("d1").read() == b"of the child"


def test_threads_share_a_storage(room, storage):
    room.documents(*(f"d{number}" for number in range(8)))
    wrong = []

    def work(document_id):
        acme = storage.for_tenant("acme")
        for turn in range(4):
            body = f"{document_id} {turn}".encode()
            upload(acme, document_id, body)
            if acme.open(document_id).read() != body:
                wrong.append(document_id)

    threads = [threading.Thread(target=work, args=(f"d{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_hook_is_told_of_every_call(room):
    room.documents("d1")
    calls = []

    def hook(call):
        calls.append(call)
        raise RuntimeError("the hook's own")

    with TenantStorage.open(room.settings, on_call=hook) as storage:
        acme = storage.for_tenant("acme")
        upload(acme)
        with acme.open("d1") as file:
            file.read()
        with pytest.raises(NoSuchDocument):
            acme.get("none")
    told = [(call.tenant_id, call.kind, call.requests, call.bytes_in, call.bytes_out, call.failed) for call in calls]
    assert told == [(1, "upload", 1, 0, 5, False), (1, "open", 1, 5, 0, False), (1, "get", 0, 0, 0, True)]


def test_a_home_that_changes_meanwhile_is_followed(room, storage, connection):
    """Also within a transaction of the application, which must not wait for itself."""
    room.row("d1", None)
    home = f"home-{room.shared}"
    room.root.create_bucket(Bucket=home)

    put = storage.objects.put

    def switching(ref, body, **options):
        stored = put(ref, body, **options)
        room.sql("UPDATE tenants SET aws_bucket_name = %s", home)
        return stored

    storage.objects.put = switching
    with connection.transaction():
        stored = storage.for_tenant("acme", connection).upload("d1", "a.txt", BytesIO(b"hello"), "text/plain")
    assert stored.bucket == home
    assert room.body("d1") == b"hello"
    age(room)
    assert storage.sweep().objects == 1
    assert room.keys(room.shared) == []
