"""An upload's whole way on tables as applications have them: ids of other types, partitions, renamed and missing columns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.support.shop import Shop, file, of, open_shop, stored

from rehouse.config.sections import DocumentsTable, TableMapping, TenantsTable
from rehouse.core.errors import NoSuchDocument, QuotaExceeded

pytestmark = [pytest.mark.long, pytest.mark.sample]
UUID = "7f3a0000-0000-4000-8000-00000000000a"
TO = "ALTER TABLE documents ALTER id TYPE {0} USING id::{0}"
PARTITIONED = """
ALTER TABLE documents RENAME TO old;
CREATE TABLE documents (LIKE old INCLUDING DEFAULTS, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);
CREATE TABLE first PARTITION OF documents FOR VALUES IN (1) PARTITION BY HASH (id);
CREATE TABLE first_a PARTITION OF first FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE first_b PARTITION OF first FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE rest PARTITION OF documents DEFAULT;
"""
FEW = """
ALTER TABLE documents DROP etag, DROP file_size, DROP original_name, DROP uploaded_at;
ALTER TABLE tenants DROP slug, DROP is_active, DROP name;
"""
FEWER = TableMapping(
    tenants=TenantsTable(slug="", name="", is_active=""),
    documents=DocumentsTable(etag="", file_size="", original_name="", uploaded_at=""),
)
RENAMED = 'ALTER TABLE documents RENAME s3_key TO "the ""Key"""; ALTER TABLE tenants RENAME max_documents TO "Most"'
NAMES = TableMapping(tenants=TenantsTable(max_documents="Most"), documents=DocumentsTable(s3_key='the "Key"'))
DOMAIN = """
CREATE SCHEMA types;
GRANT USAGE ON SCHEMA types TO PUBLIC;
CREATE DOMAIN types.id AS varchar(40);
ALTER TABLE documents ALTER id TYPE types.id;
"""
PLAIN = TableMapping()
CASES = {
    "uuid": (TO.format("uuid"), PLAIN, UUID.upper(), UUID),
    "bigint": (TO.format("bigint"), PLAIN, "0042", "42"),
    "text of another collation": ('ALTER TABLE documents ALTER id TYPE text COLLATE "C"', PLAIN, "a/b", "a/b"),
    "domain": (DOMAIN, PLAIN, "d", "d"),
    "partitioned": (PARTITIONED, PLAIN, "d", "d"),
    "few columns": (FEW, FEWER, "d", "d"),
    "renamed columns": (RENAMED, NAMES, "d", "d"),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, application_database: str) -> Iterator[tuple[Shop, str, str]]:
    change, mapping, named, document = CASES[request.param]
    with ExitStack() as stack:
        yield open_shop(application_database, stack, change, mapping), named, document


def test_a_cycle_on_these_tables(case: tuple[Shop, str, str]) -> None:
    shop, named, document = case
    key, size = (shop.catalog.column("documents", name) for name in ("s3_key", "size"))
    acme = shop.tenant(gb=of(100), documents=1)
    grant = acme.grant(named, 100)
    assert grant.document_id == document
    names = [name for name in ("original_name", "filename") if name in shop.catalog.documents.columns]
    columns = ", ".join(["id", "tenant_id", size, *names])
    marks = ", ".join(["%s", "%s", "0", *(["'n'"] * len(names))])
    insert = f"INSERT INTO documents ({columns}) VALUES ({marks})"
    shop.sql(insert, document, acme.id)
    begun = acme.uploads().begin_confirm(acme.id, grant.grant_id)
    settled = acme.uploads().settle(acme.id, grant.grant_id, stored(begun), acme.buckets)
    assert settled is not None
    query = 'SELECT s3_bucket, "{}" FROM documents WHERE id = %s'.format(key.replace('"', '""'))
    assert shop.sql(query, document) == [(begun.final.bucket, begun.final.key)]
    assert not acme.uploads().deletions.may_delete(acme.id, document, begun.final)
    assert acme.uploads().deletions.may_delete(acme.id, document, grant.staged)
    with pytest.raises(QuotaExceeded):
        acme.uploads().open_grant(acme.row, another(document), file(1), seconds=60)
    assert [each.document_id for each in acme.rows.list_documents(acme.row.id)] == [document]
    deletion = acme.uploads().deletions.detach(acme.row, named, acme.buckets)
    assert (deletion.ref, deletion.document_id) == (begun.final, document)
    with pytest.raises(NoSuchDocument):
        acme.uploads().deletions.detach(acme.row, named, acme.buckets)


def another(document: str) -> str:
    return document[:-1] + ("b" if document == UUID else "9")
