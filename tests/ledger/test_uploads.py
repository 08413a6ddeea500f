"""Grants, confirmations and deletions on PostgreSQL, as the application's role under forced row security."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row
from tests.support.shop import SHARED, Shop, Tenant, file, grant_at_once, of, open_shop, stored

from rehouse.config.sections import TableMapping, TenantsTable
from rehouse.core.errors import (
    BadUpload,
    DatabaseRefused,
    ForeignPointer,
    GrantExpired,
    GrantUnknown,
    InactiveTenant,
    NoSuchDocument,
    QuotaExceeded,
    Refused,
    UnknownTenant,
)
from rehouse.core.model import ObjectRef
from rehouse.core.routing import upload_bucket
from rehouse.ledger import catalog as catalogs
from rehouse.ledger.application_rows import ApplicationRows, StoredUpload
from rehouse.ledger.queries import load
from rehouse.ledger.uploads import Grant, Settled, Uploads

IDLE, IN_TRANSACTION = psycopg.pq.TransactionStatus.IDLE, psycopg.pq.TransactionStatus.INTRANS


@pytest.fixture(scope="module")
def shop(postgres, templates: Callable[[str], str]) -> Iterator[Shop]:
    with ExitStack() as stack:
        url = postgres.create_database("uploads_of_a_shop", templates("integer"))
        stack.callback(postgres.drop_database, "uploads_of_a_shop")
        yield open_shop(url, stack)


@pytest.fixture
def acme(shop: Shop) -> Tenant:
    return shop.tenant()


@pytest.fixture
def other_shop(application_database_uuid: str) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield open_shop(application_database_uuid, stack)


def run_cycle(acme: Tenant) -> None:
    document = acme.document("d1", size=3, bucket="shared", key="uploads/old.pdf")
    acme.shop.sql("""UPDATE documents SET etag = '"quoted"' WHERE id = %s""", document)
    grant = acme.grant(document)
    assert (grant.state, grant.staged.bucket, grant.staged.key) == (
        "open",
        "shared",
        f"temp/{grant.grant_id}/Q3-report-.pdf",
    )
    assert acme.used() == (1, 3, 0, 7)
    begun = acme.uploads().begin_confirm(acme.id, grant.grant_id)
    key = f"tenants/{acme.id}/documents/{document}/Q3-report-.pdf"
    assert (begun.state, begun.final) == ("confirming", ObjectRef("shared", key))
    settled = acme.confirm(grant)
    assert acme.pointer(document) == ("shared", key, 10, f'"{"e" * 32}"')
    ours = "SELECT s3_version_id, s3_checksum, s3_migrated_at FROM documents WHERE id = %s"
    assert acme.shop.sql(ours, document) == [("v1", "crc", None)]
    assert settled.grant.stored == stored(begun)
    assert [each.ref for each in settled.deletions] == [grant.staged, ObjectRef("shared", "uploads/old.pdf")]
    assert [each.etag for each in settled.deletions] == [None, "quoted"]
    assert acme.used() == (1, 10, 0, 0)
    again = acme.confirm(grant)
    assert (again.grant, again.deletions) == (settled.grant, ())
    assert all(acme.uploads().deletions.may_delete(acme.id, document, each.ref) for each in settled.deletions)
    assert not acme.uploads().deletions.may_delete(acme.id, document, begun.final)
    for each in settled.deletions:
        acme.uploads().deletions.forget(each)
    assert acme.deletions() == []


def test_a_cycle_points_the_row_and_records_the_rest(acme: Tenant) -> None:
    run_cycle(acme)


def test_a_cycle_with_uuids(other_shop: Shop) -> None:
    run_cycle(other_shop.tenant())


@pytest.mark.parametrize("home", [None, "", "shared", "older", "a-home"])
def test_the_bucket_is_read_by_the_statement(shop: Shop, home: str | None) -> None:
    acme = shop.tenant(home=None)
    shop.sql("ALTER TABLE tenants DROP CONSTRAINT IF EXISTS tenants_aws_bucket_name_key")
    shop.sql("UPDATE tenants SET aws_bucket_name = %s WHERE id = %s", home, acme.id)
    grant = acme.grant(acme.document("d"))
    assert grant.staged.bucket == upload_bucket(acme.buckets) == ("a-home" if home == "a-home" else "shared")


def test_without_any_bucket_an_upload_is_refused(acme: Tenant) -> None:
    uploads = Uploads(acme.rows, shared=SHARED, upload_bucket=None)
    with pytest.raises(Refused, match="no shared bucket is left"):
        acme.grant("d", uploads=uploads)


def test_a_cutover_between_copy_and_commit_is_followed(acme: Tenant) -> None:
    document = acme.document("d")
    grant = acme.grant(document)
    copied = acme.uploads().begin_confirm(acme.id, grant.grant_id)
    acme.shop.sql("UPDATE tenants SET aws_bucket_name = 'home-of-d' WHERE id = %s", acme.id)
    assert acme.uploads().settle(acme.id, grant.grant_id, stored(copied), acme.buckets) is None
    assert acme.pointer(document)[:2] == (None, None)
    again = acme.uploads().begin_confirm(acme.id, grant.grant_id)
    assert again.final == ObjectRef("home-of-d", f"documents/{document}/Q3-report-.pdf")
    assert acme.deletions() == [(copied.final.bucket, copied.final.key, None)]
    assert acme.uploads().settle(acme.id, grant.grant_id, stored(again), acme.buckets) is not None
    assert acme.pointer(document)[:2] == (again.final.bucket, again.final.key)


def test_a_tenant_that_is_not_active_uploads_nothing(acme: Tenant) -> None:
    grant = acme.grant(acme.document("d"))
    tenant = acme.row
    acme.shop.sql("UPDATE tenants SET is_active = false WHERE id = %s", acme.id)
    with pytest.raises(InactiveTenant):
        acme.uploads().open_grant(tenant, "d", file(1), seconds=60)
    with pytest.raises(InactiveTenant):
        acme.uploads().begin_confirm(acme.id, grant.grant_id)
    acme.shop.sql("DELETE FROM documents WHERE tenant_id = %s", acme.id)
    acme.shop.sql("DELETE FROM tenants WHERE id = %s", acme.id)
    with pytest.raises(UnknownTenant):
        acme.uploads().open_grant(tenant, "d", file(1), seconds=60)


def test_another_tenants_grant_is_unknown(shop: Shop, acme: Tenant) -> None:
    globex = shop.tenant()
    grant = globex.grant(globex.document("d"))
    for grant_id in (grant.grant_id, str(uuid4()), "'; DROP TABLE tenants", "", None, "\0"):
        for call in (acme.uploads().read_grant, acme.uploads().begin_confirm, acme.uploads().abort):
            with pytest.raises(GrantUnknown) as refused:
                call(acme.id, grant_id)
            assert globex.slug not in refused.value.message
    assert globex.state(grant) == "open"


# ---- keys


def test_no_key_is_given_twice(acme: Tenant) -> None:
    document = acme.document("d")
    one, two, three = (acme.grant(document) for _ in range(3))
    first = acme.uploads().begin_confirm(acme.id, one.grant_id).final
    second = acme.uploads().begin_confirm(acme.id, two.grant_id).final
    taken = acme.uploads().begin_confirm(acme.id, two.grant_id, is_taken=True).final
    acme.confirm(one)
    third = acme.uploads().begin_confirm(acme.id, three.grant_id).final
    assert len({first, second, taken, third}) == 4
    assert acme.uploads().begin_confirm(acme.id, two.grant_id).final == taken, "it is kept"
    acme.shop.sql("DELETE FROM s3_upload_grants WHERE tenant_id = %s", acme.id)
    acme.uploads().deletions.record(acme.id, document, second, None)
    again = acme.grant(document)
    acme.shop.sql("UPDATE documents SET s3_key = NULL WHERE id = %s", document)
    assert acme.uploads().begin_confirm(acme.id, again.grant_id).final == first, "it is free again"
    acme.uploads().deletions.record(acme.id, document, first, None)
    another = acme.uploads().begin_confirm(acme.id, again.grant_id, is_taken=True).final
    assert another not in {first, second}, "what waits for its deletion is not used again"


def test_two_confirmations_at_once_take_two_keys(acme: Tenant) -> None:
    document = acme.document("d")
    grants = [acme.grant(document) for _ in range(8)]
    finals = []
    together = threading.Barrier(len(grants))

    def confirm(grant: Grant, uploads: Uploads) -> None:
        together.wait()
        finals.append(uploads.begin_confirm(acme.id, grant.grant_id).final)

    threads = [threading.Thread(target=confirm, args=(each, acme.uploads(acme.connect()))) for each in grants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(finals)) == len(grants)


# ---- limits


def test_a_limit_is_reached_but_never_passed(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100), documents=3)
    documents = [acme.document("d0", size=30), "new-1", "new-2", "new-3"]
    first = acme.grant(documents[1], 70)
    with pytest.raises(QuotaExceeded, match="its limit is 100 bytes: 30 are used, 70 reserved") as refused:
        acme.grant(documents[2], 1)
    assert (refused.value.subject, refused.value.exit_status) == (acme.slug, 2)
    acme.grant(documents[0], 30)
    acme.grant(documents[2], 0)
    with pytest.raises(QuotaExceeded, match="its limit is 3 documents: 1 are used, 2 reserved"):
        acme.grant(documents[3], 0)
    acme.uploads().abort(acme.id, first.grant_id)
    acme.grant(documents[3], 70)
    assert acme.used() == (1, 30, 2, 70)


def test_an_expired_grant_gives_its_room_back(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100))
    grant = acme.grant("a", 100)
    with pytest.raises(QuotaExceeded):
        acme.grant("b", 1)
    acme.shop.sql("UPDATE s3_upload_grants SET expires_at = clock_timestamp() WHERE grant_id = %s", grant.grant_id)
    acme.grant("b", 100)
    assert acme.state(grant) == "aborted"
    with pytest.raises(GrantExpired) as refused:
        acme.uploads().begin_confirm(acme.id, grant.grant_id)
    assert refused.value.subject == grant.grant_id


def test_an_expired_grant_that_is_being_confirmed_counts_on(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100))
    grant = acme.grant(acme.document("a"), 100)
    acme.uploads().begin_confirm(acme.id, grant.grant_id)
    shop.sql("UPDATE s3_upload_grants SET expires_at = clock_timestamp() WHERE tenant_id = %s", acme.id)
    with pytest.raises(QuotaExceeded):
        acme.grant("b", 1)
    acme.confirm(grant)
    assert acme.used() == (1, 100, 0, 0)


def test_a_confirmation_under_way_keeps_its_room(shop: Shop) -> None:
    """Others see the grant as open, and expired; only its row's lock says that it must not be given up."""
    acme = shop.tenant(gb=of(100))
    grant = acme.grant(acme.document("a"), 100, seconds=1)
    confirming = acme.connect()
    with confirming.transaction():
        acme.uploads(confirming).begin_confirm(acme.id, grant.grant_id)
        shop.sql("SELECT pg_sleep(1)")
        assert acme.state(grant) == "open"
        with pytest.raises(QuotaExceeded):
            acme.grant("b", 1)
    assert acme.state(grant) == "confirming"


def test_a_row_that_comes_after_the_grant_counts_once(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100), documents=1)
    grant = acme.grant(f"{acme.slug}-d", 60)
    assert acme.used() == (0, 0, 1, 60)
    acme.document("d", size=60)
    assert acme.used() == (1, 60, 0, 0)
    acme.connection.execute("UPDATE documents SET file_size = 40 WHERE tenant_id = %s", (acme.id,))
    assert acme.used() == (1, 40, 0, 20)
    acme.confirm(grant)
    assert acme.used() == (1, 60, 0, 0)


def test_room_that_a_row_lost_is_not_given_to_others(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100), documents=2)
    document = acme.document("d", size=60)
    grant = acme.grant(document, 60)
    acme.connection.execute("DELETE FROM documents WHERE id = %s", (document,))
    assert acme.used() == (0, 0, 1, 60)
    with pytest.raises(QuotaExceeded):
        acme.grant("other", 41)
    acme.document("d", size=1)
    acme.confirm(grant)
    assert acme.used() == (1, 60, 0, 0)


def test_of_several_uploads_of_a_document_the_largest_counts(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100), documents=1)
    document = f"{acme.slug}-d"
    one, two = acme.grant(document, 100), acme.grant(document, 40)
    assert acme.used() == (0, 0, 1, 100)
    acme.document("d")
    acme.confirm(two)
    assert acme.used() == (1, 40, 0, 60)
    acme.confirm(one)
    assert acme.used() == (1, 100, 0, 0)


def test_a_stream_grows_as_far_as_there_is_room(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100))
    grant = acme.grant("a", 8)
    grant = acme.uploads().resize(acme.row, grant, 100)
    assert (grant.declared.size, acme.used()) == (100, (0, 0, 1, 100))
    with pytest.raises(QuotaExceeded):
        acme.uploads().resize(acme.row, grant, 101)
    acme.uploads().abort(acme.id, grant.grant_id)
    with pytest.raises(GrantExpired):
        acme.uploads().resize(acme.row, grant, 9)
    with pytest.raises(GrantExpired):
        acme.uploads().record_upload_id(grant, "upload")


def test_without_usage_triggers_the_rows_are_counted(shop: Shop) -> None:
    acme = shop.tenant(gb=of(100), documents=2)
    without = replace(shop.catalog, documents=replace(shop.catalog.documents, triggers=frozenset()))
    acme.document("d", size=70)
    uploads = acme.uploads(catalog=without)
    acme.grant("a", 30, uploads=uploads)
    for name, size in (("b", 0), ("a", 31)):
        with pytest.raises(QuotaExceeded):
            acme.grant(name, size, uploads=uploads)


def test_usage_that_is_in_doubt_is_not_trusted(shop: Shop) -> None:
    acme = shop.tenant(documents=1)
    shop.sql("INSERT INTO rehouse_usage_faults (step, code) VALUES ('count', 'XX000')")
    shop.sql("ALTER TABLE documents DISABLE TRIGGER rehouse_usage_insert")
    try:
        acme.document("d", size=7)
        assert acme.used() == (1, 7, 0, 0)
        with pytest.raises(QuotaExceeded):
            acme.grant("other", 1)
    finally:
        shop.sql("ALTER TABLE documents ENABLE TRIGGER rehouse_usage_insert")
        shop.sql("DELETE FROM documents WHERE tenant_id = %s", acme.id)
        shop.sql("CALL rehouse_recount_usage()")
    assert shop.sql("SELECT count(*) FROM rehouse_usage_faults") == [(0,)]


def test_at_another_isolation_a_limit_cannot_be_kept(shop: Shop) -> None:
    acme = shop.tenant(gb=1)
    connection = acme.connect(options="-c default_transaction_isolation=serializable")
    grant = acme.grant("a", uploads=acme.uploads(connection))
    assert (grant.state, connection.isolation_level) == ("open", None), "a transaction of ours is at READ COMMITTED"
    with connection.transaction(), pytest.raises(Refused, match="SERIALIZABLE"):
        acme.grant("b", uploads=acme.uploads(connection))
    unlimited = shop.tenant()
    connection = unlimited.connect(options="-c default_transaction_isolation=serializable")
    with connection.transaction():
        assert unlimited.grant("b", uploads=unlimited.uploads(connection)).state == "open"


def test_grants_at_once_never_pass_a_limit(shop: Shop) -> None:
    acme = shop.tenant(gb=of(95), documents=1000)
    granted, raised = grant_at_once(acme, 3, 10, 8)
    assert (len(granted), {type(each) for each in raised}) == (9, {QuotaExceeded})
    assert acme.used() == (0, 0, 9, 90)


def test_each_call_sends_a_known_number_of_statements(shop: Shop) -> None:
    sent: list[str] = []

    class Counting(psycopg.Cursor):
        def execute(self, query, params=None, **options):  # type: ignore[no-untyped-def, override]
            sent.append(query.as_string(self).splitlines()[0])
            return super().execute(query, params, **options)

    def count(call: Callable[..., object], *values: object, **options: object) -> int:
        sent.clear()
        call(*values, **options)
        return len(sent)

    limited, unlimited = shop.tenant(gb=1), shop.tenant()
    off = replace(shop.catalog, mapping=TableMapping(tenants=TenantsTable(max_storage_gb="", max_documents="")))
    without = replace(shop, catalog=off, queries=load(off)).tenant()
    for acme, statements in ((limited, 4), (unlimited, 2), (without, 1)):
        document, row, buckets = acme.document("d", key="uploads/d.pdf"), acme.row, acme.buckets
        acme.connection.cursor_factory = Counting
        uploads = acme.uploads()
        assert count(uploads.open_grant, row, document, file(1), seconds=60) == statements
        grant = acme.grant(document)
        assert count(uploads.begin_confirm, acme.id, grant.grant_id) == 4
        begun = uploads.read_grant(acme.id, grant.grant_id)
        settle = partial(uploads.settle, acme.id, grant.grant_id, stored(begun), buckets)
        assert count(settle) == 7, "the grant, the home, the row, twice what is changed, twice what is to be deleted"
        assert count(settle) == 1
        assert count(acme.rows.read_document, acme.id, document) == 1
        assert count(uploads.deletions.detach, row, document, buckets) == 3


# ---- the application's transaction and rows


def test_the_applications_transaction_is_its_own(acme: Tenant) -> None:
    document = acme.document("d")
    grant = acme.grant(document)
    connection = acme.connect(autocommit=False, row_factory=dict_row)
    uploads = acme.uploads(connection)
    begun = uploads.begin_confirm(acme.id, grant.grant_id)
    assert (connection.info.transaction_status, acme.state(grant)) == (IDLE, "confirming")
    connection.execute("SELECT 1")
    with pytest.raises(GrantUnknown):
        uploads.read_grant(acme.id, str(uuid4()))
    assert uploads.settle(acme.id, grant.grant_id, stored(begun), acme.buckets) is not None
    assert (connection.info.transaction_status, acme.state(grant)) == (IN_TRANSACTION, "confirming")
    connection.rollback()
    assert (acme.pointer(document)[:2], acme.state(grant), acme.deletions()) == ((None, None), "confirming", [])
    acme.confirm(grant)
    assert connection.row_factory is dict_row


def test_on_commit_writes_the_row_itself(acme: Tenant) -> None:
    grant = acme.grant(f"{acme.slug}-d")
    begun = acme.uploads().begin_confirm(acme.id, grant.grant_id)
    with pytest.raises(NoSuchDocument):
        acme.uploads().settle(acme.id, grant.grant_id, stored(begun), acme.buckets)

    def settle(on_commit: Callable[[], object]) -> Settled | None:
        return acme.uploads().settle(acme.id, grant.grant_id, stored(begun), acme.buckets, on_commit)

    with pytest.raises(Refused, match="does not point to the upload"):
        settle(lambda: acme.document("d", bucket="shared", key="elsewhere"))
    with pytest.raises(psycopg.errors.DivisionByZero):
        settle(lambda: acme.connection.execute("SELECT 1/0"))
    with pytest.raises(ZeroDivisionError):
        settle(lambda: 1 / 0)
    assert (acme.state(grant), acme.used()) == ("confirming", (0, 0, 1, 10))
    settle(lambda: acme.document("d", size=10, bucket=begun.final.bucket, key=begun.final.key))
    assert (acme.state(grant), acme.used()) == ("confirmed", (1, 10, 0, 0))


def test_a_former_object_elsewhere_is_left_alone(acme: Tenant) -> None:
    document = acme.document("d", bucket="home-of-another", key="documents/d/a.pdf")
    grant = acme.grant(document)
    assert [each.ref for each in acme.confirm(grant).deletions] == [grant.staged]


def test_a_document_is_detached_and_its_object_recorded(acme: Tenant) -> None:
    document = acme.document("d", size=5, key="uploads/d.pdf")
    deletion = acme.uploads().deletions.detach(acme.row, document, acme.buckets)
    assert (deletion.ref, acme.pointer(document)) == (ObjectRef("shared", "uploads/d.pdf"), (None, None, 5, None))
    assert acme.deletions() == [("shared", "uploads/d.pdf", None)]
    with pytest.raises(NoSuchDocument, match="has no object"):
        acme.uploads().deletions.detach(acme.row, document, acme.buckets)
    with pytest.raises(NoSuchDocument, match="has no document"):
        acme.uploads().deletions.detach(acme.row, "nothing", acme.buckets)
    foreign = acme.document("f", bucket="home-of-another", key="documents/f/a.pdf")
    with pytest.raises(ForeignPointer, match="home-of-another"):
        acme.uploads().deletions.detach(acme.row, foreign, acme.buckets)
    gone = acme.document("g", bucket="older", key="uploads/g.pdf")
    remove = "DELETE FROM documents WHERE id = %s"
    acme.uploads().deletions.detach(acme.row, gone, acme.buckets, lambda: acme.connection.execute(remove, (gone,)))
    kept = acme.document("k", bucket="older", key="uploads/k.pdf")
    with pytest.raises(Refused, match="still points to the object"):
        acme.uploads().deletions.detach(acme.row, kept, acme.buckets, lambda: None)
    assert [key for _, key, _ in acme.deletions()] == ["uploads/d.pdf", "uploads/g.pdf"]


def test_a_key_that_must_not_be_null_is_told(acme: Tenant) -> None:
    document = acme.document("d", key="uploads/d.pdf")
    acme.shop.sql("UPDATE documents SET s3_key = '' WHERE s3_key IS NULL")
    acme.shop.sql("ALTER TABLE documents ALTER s3_key SET NOT NULL")
    try:
        with pytest.raises(DatabaseRefused, match=r"documents.s3_key must not be NULL") as refused:
            acme.uploads().deletions.detach(acme.row, document, acme.buckets)
        assert "on_commit" in refused.value.hint
    finally:
        acme.shop.sql("ALTER TABLE documents ALTER s3_key DROP NOT NULL")


def test_a_trigger_that_changes_the_pointer_is_noticed(acme: Tenant) -> None:
    grant = acme.grant(acme.document("d"))
    acme.shop.sql(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.s3_key := 'x'; RETURN NEW; END $$;"
        "CREATE TRIGGER spoil BEFORE UPDATE ON documents FOR EACH ROW EXECUTE FUNCTION spoil()"
    )
    try:
        with pytest.raises(DatabaseRefused, match="a trigger or a rule"):
            acme.confirm(grant)
    finally:
        acme.shop.sql("DROP FUNCTION spoil() CASCADE")
    assert acme.state(grant) == "confirming"


def test_rows_of_other_tenants_are_hidden_but_not_forgotten(shop: Shop, acme: Tenant) -> None:
    globex = shop.tenant()
    document = globex.document("d", bucket="shared", key="uploads/of-both.pdf")
    unnamed = globex.document("e", key="uploads/no-bucket.pdf")
    assert acme.rows.read_document(acme.id, document) is None
    assert [each.document_id for each in globex.rows.list_documents(globex.id)] == [document, unnamed]
    assert [each.document_id for each in globex.rows.list_documents(globex.id, after=document)] == [unnamed]
    assert acme.rows.list_documents(acme.id) == []
    with pytest.raises(UnknownTenant):
        acme.rows.read_tenant(globex.slug)
    uploads = acme.uploads()
    assert not uploads.deletions.may_delete(acme.id, "x", ObjectRef("shared", "uploads/of-both.pdf"))
    assert not uploads.deletions.may_delete(acme.id, "x", ObjectRef("shared", "uploads/no-bucket.pdf"))
    assert uploads.deletions.may_delete(acme.id, "x", ObjectRef("older", "uploads/of-both.pdf"))
    assert uploads.deletions.may_delete(acme.id, "x", ObjectRef("older", "uploads/no-bucket.pdf"))


def test_a_copy_that_a_migration_will_use_is_not_deleted(shop: Shop, acme: Tenant) -> None:
    copied = ObjectRef("home-of-acme", "documents/d/a.pdf")
    insert = "INSERT INTO s3_migration_documents (tenant_id, document_id, target_bucket, target_key, state)"
    shop.sql(f"{insert} VALUES (%s, 'copied', %s, %s, 'copied')", acme.id, copied.bucket, copied.key)
    may_delete = acme.uploads().deletions.may_delete
    assert not may_delete(acme.id, "copied", copied)
    shop.sql("UPDATE s3_migration_documents SET state = 'superseded' WHERE tenant_id = %s", acme.id)
    assert may_delete(acme.id, "copied", copied)


def test_a_tenant_is_found_by_slug_and_id(shop: Shop, acme: Tenant) -> None:
    for named in (acme.slug, acme.id, str(acme.id), f"id:{acme.id}"):
        assert acme.rows.read_tenant(named).id == acme.id
    for named in ("nobody", "id:", "id:x", "", "\0", "\ud800", 10**30, "' OR true --"):
        with pytest.raises(UnknownTenant):
            acme.rows.read_tenant(named)
    everybody = ApplicationRows(shop.owner, shop.catalog, shop.queries)
    twin = shop.tenant()
    shop.sql("UPDATE tenants SET slug = %s WHERE id = %s", str(acme.id), twin.id)
    with pytest.raises(UnknownTenant, match="names 2 tenants") as refused:
        everybody.read_tenant(str(acme.id))
    assert f"id:{twin.id}" in refused.value.hint
    assert everybody.read_tenant(f"id:{acme.id}").id == everybody.read_tenant(acme.id).id == acme.id


def test_a_home_of_another_tenant_is_contested(shop: Shop, acme: Tenant) -> None:
    globex = shop.tenant(home="home-of-globex")
    insert = "INSERT INTO s3_migrations (tenant_id, home_bucket, previous_home) VALUES (%s, 'home-of-globex', 'older')"
    shop.sql(insert, globex.id)
    assert (globex.row.others, globex.row.is_contested) == (("home-of-globex", "older"), False)
    shop.sql("UPDATE tenants SET aws_bucket_name = NULL WHERE id = %s", globex.id)
    shop.sql("UPDATE tenants SET aws_bucket_name = 'home-of-globex' WHERE id = %s", acme.id)
    assert acme.row.is_contested


@pytest.mark.parametrize("wrong", ["x" * 256, "\0", "\ud800", ""])
def test_an_id_that_cannot_be_one_is_refused(acme: Tenant, wrong: str) -> None:
    for call in (lambda: acme.grant(wrong), lambda: acme.rows.read_document(acme.id, wrong)):
        with pytest.raises(NoSuchDocument, match="cannot be the id"):
            call()


def test_a_name_that_the_database_cannot_hold_is_refused(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehouse.ledger.uploads.holder", lambda _: str.isascii)
    with pytest.raises(BadUpload, match="encoding"):
        acme.uploads().open_grant(acme.row, "d", file(1, "Отчёт.pdf"), seconds=60)


# ---- what is swept


def test_what_was_never_confirmed_is_swept(shop: Shop, acme: Tenant) -> None:
    document = acme.document("d")
    running, late, abandoned, given_up, done = (acme.grant(document) for _ in range(5))
    acme.confirm(done)
    acme.uploads().begin_confirm(acme.id, abandoned.grant_id)
    acme.uploads().abort(acme.id, given_up.grant_id)
    assert acme.uploads().abort(acme.id, done.grant_id).state == "confirmed", "it stays so"
    expired = "UPDATE s3_upload_grants SET expires_at = clock_timestamp() - interval '2 hours' WHERE grant_id = ANY(%s)"
    shop.sql(expired, [late.grant_id, abandoned.grant_id, done.grant_id])

    def swept(**options: int) -> set[str]:
        found = acme.uploads().grants_to_sweep(**options)
        return {each.grant_id for each in found if each.tenant_id == acme.id}

    assert swept() == {late.grant_id}, "the URLs of one that was given up may still be used"
    shop.sql(expired, [given_up.grant_id])
    assert swept() == {late.grant_id, given_up.grant_id}
    shop.sql("UPDATE s3_upload_grants SET changed_at = now() - interval '25 hours' WHERE tenant_id = %s", acme.id)
    assert swept() == {late.grant_id, given_up.grant_id, abandoned.grant_id}
    with pytest.raises(GrantExpired):
        acme.uploads().settle(acme.id, abandoned.grant_id, StoredUpload(ObjectRef("b", "k"), 1, "e"), acme.buckets)
    for grant in (running, late, done):
        acme.uploads().forget_grant(grant)
    left = {each.grant_id for each in (running, abandoned, given_up, done)}
    query = "SELECT grant_id::text FROM s3_upload_grants WHERE tenant_id = %s"
    assert {row[0] for row in shop.sql(query, acme.id)} == left, "only what was aborted is forgotten"
    acme.uploads().forget_confirmed(days=2)
    assert acme.state(done) == "confirmed"
    acme.uploads().forget_confirmed(days=1)
    with pytest.raises(GrantUnknown, match="no upload"):
        acme.uploads().begin_confirm(acme.id, done.grant_id)


def test_deletions_are_listed_until_they_are_forgotten(acme: Tenant) -> None:
    made = [acme.uploads().deletions.record(acme.id, "d", ObjectRef("b", f"k{n}"), '"e"') for n in range(3)]
    assert made[0].etag == "e"
    listed = [each for each in acme.uploads().deletions.pending() if each.tenant_id == acme.id]
    assert listed == made
    acme.uploads().deletions.forget(made[1])
    assert [key for _, key, _ in acme.deletions()] == ["k0", "k2"]


# ---- what the application's role may read


def test_the_catalog_is_read_under_row_security(shop: Shop, acme: Tenant) -> None:
    assert shop.catalog.documents.is_blinded
    assert shop.catalog.recorded_mapping is not None
    assert shop.catalog.version is None, "it may not read that table"
    with pytest.raises(DatabaseRefused):
        catalogs.read(acme.connection, TableMapping())
    connection = acme.connect(autocommit=False, row_factory=dict_row)
    again = catalogs.read(connection, TableMapping(), as_application=True)
    assert (again.own.keys(), again.documents.is_blinded) == (shop.catalog.own.keys(), True)
    assert (connection.info.transaction_status, connection.row_factory) == (IDLE, dict_row)


def test_a_ledger_without_its_tables_names_the_way_out(shop: Shop, acme: Tenant) -> None:
    own = {name: table for name, table in shop.catalog.own.items() if name != "s3_upload_grants"}
    with pytest.raises(DatabaseRefused, match="has no table s3_upload_grants") as refused:
        acme.uploads(catalog=replace(shop.catalog, own=own))
    assert "rehouse init" in refused.value.hint


def test_a_role_without_the_rights_is_told(shop: Shop, acme: Tenant) -> None:
    login = psycopg.conninfo.conninfo_to_dict(shop.url)["user"]
    group = shop.sql("SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole", login)[0][0]
    shop.sql(f"REVOKE {group} FROM {login}")
    try:
        with pytest.raises(DatabaseRefused, match="this role lacks a right"):
            acme.uploads().read_grant(acme.id, str(uuid4()))
    finally:
        shop.sql(f"GRANT {group} TO {login}")
