"""Whether a ledger belongs to a mapping: oids where the ledger is the one of then, names after a restore."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.belonging import LedgerMapping, MappedTable, differences, from_json

TENANTS = MappedTable("public.tenants", 10, {"id": ("id", 1), "aws_bucket_name": ("aws_bucket_name", 4)})
DOCUMENTS = MappedTable("public.documents", 20, {"id": ("id", 1), "s3_key": ("s3_key", 6)})
THEN = LedgerMapping(30, TENANTS, DOCUMENTS)
RESTORED = replace(THEN, ledger=31, tenants=replace(TENANTS, oid=11), documents=replace(DOCUMENTS, oid=21))


def with_documents(then: LedgerMapping, **changes: object) -> LedgerMapping:
    return replace(then, documents=replace(then.documents, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (THEN, []),
        (RESTORED, []),
        (with_documents(THEN, name="public.files"), []),
        (
            with_documents(THEN, oid=21),
            ["the table of documents was public.documents and is public.documents (another"],
        ),
        (
            with_documents(THEN, oid=21, name="app.files"),
            ["the table of documents was public.documents and is app.files"],
        ),
        (
            with_documents(RESTORED, name="public.files"),
            ["the table of documents was public.documents and is public.files"],
        ),
        (with_documents(THEN, columns={"id": ("id", 1), "s3_key": ("path", 6)}), []),
        (with_documents(THEN, columns={"id": ("id", 1), "s3_key": ("s3_key", 9)}), []),
        (
            with_documents(THEN, columns={"id": ("id", 1), "s3_key": ("path", 9)}),
            ["documents.s3_key was s3_key and is path"],
        ),
        (with_documents(RESTORED, columns={"id": ("id", 1), "s3_key": ("path", 6)}), ["documents.s3_key was s3_key"]),
    ],
)
def test_what_differs(now: LedgerMapping, told: list[str]) -> None:
    found = [str(each) for each in differences(THEN, now)]
    assert len(found) == len(told)
    assert all(one.startswith(beginning) for one, beginning in zip(found, told, strict=True))


columns = st.dictionaries(st.sampled_from(["id", "s3_key"]), st.tuples(st.text(max_size=5), st.integers(1, 9)))
tables = st.builds(MappedTable, st.sampled_from(["a.b", "a.c"]), st.integers(1, 3), columns)
mappings = st.builds(LedgerMapping, st.integers(1, 2), tables, tables)


@given(mappings)
def test_what_is_recorded_is_read_as_it_was(mapping: LedgerMapping) -> None:
    assert from_json(mapping.as_json()) == mapping
    assert differences(mapping, mapping) == []


@given(mappings, mappings)
def test_a_table_of_another_name_and_oid_is_another(then: LedgerMapping, now: LedgerMapping) -> None:
    if then.documents.name != now.documents.name and then.documents.oid != now.documents.oid:
        assert any(each.role == "documents" for each in differences(then, now))
