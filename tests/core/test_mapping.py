"""What a mapped column must be: a truth table; and what a person may write for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.mapping import ROLES, SHORTEST_ETAG, Kind, Role, Written, parse, problem_of


def problem(role: Role, base_type: str, **more: object) -> str | None:
    facts = {"max_length": None, "is_generated": False, "is_inverted": False, "is_etag": False, **more}
    return problem_of(role, base_type, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "field", "base_type", "more", "expected"),
    [
        ("documents", "s3_bucket", "character", {"max_length": 63}, "has the type character"),
        ("documents", "s3_bucket", "citext", {}, "has the type citext"),
        ("documents", "s3_key", "text", {}, None),
        ("documents", "s3_key", "text", {"is_generated": True}, "is generated"),
        ("documents", "etag", "uuid", {"is_etag": True}, "has the type uuid"),
        ("documents", "etag", "character varying", {"is_etag": True, "max_length": 31}, "holds 31 characters"),
        ("documents", "etag", "character varying", {"is_etag": True, "max_length": SHORTEST_ETAG}, None),
        ("documents", "size", "text", {}, "has the type text"),
        ("documents", "size", "double precision", {"is_generated": True}, None),
        ("documents", "file_size", "bigint", {"is_generated": True}, "is generated"),
        ("documents", "uploaded_at", "bigint", {}, "has the type bigint"),
        ("documents", "uploaded_at", "timestamp without time zone", {}, None),
        ("tenants", "is_active", "timestamp with time zone", {}, "has the type"),
        ("tenants", "is_active", "timestamp with time zone", {"is_inverted": True}, None),
        ("tenants", "is_active", "text", {"is_inverted": True}, "has the type text, and rehouse needs boolean"),
        ("tenants", "is_active", "bigint", {"is_inverted": True}, "has the type bigint"),
        ("tenants", "name", "jsonb", {}, None),
        ("tenants", "id", "uuid", {}, None),
        ("documents", "id", "character", {"max_length": 36}, None),
        ("documents", "id", "citext", {}, None),
        ("documents", "id", "bytea", {}, "has the type bytea, and rehouse needs an integer, a uuid"),
        ("documents", "id", "double precision", {}, "has the type double precision"),
        ("documents", "id", "text[]", {}, "has the type text[]"),
        ("documents", "id", "int4range", {}, "has the type int4range"),
        ("documents", "tenant_id", "timestamp with time zone", {}, "has the type timestamp"),
        ("tenants", "aws_bucket_name", "name", {}, "has the type name"),
        ("tenants", "max_storage_gb", "numeric", {}, None),
        ("tenants", "max_documents", "text", {}, "has the type text"),
    ],
)
def test_whether_a_column_fits(
    table: str, field: str, base_type: str, more: dict[str, object], expected: str | None
) -> None:
    found = problem(ROLES[table][field], base_type, **more)
    assert found is None if expected is None else str(found).startswith(expected)


@given(st.sampled_from(list(Kind)), st.booleans(), st.text(max_size=8))
def test_a_type_that_is_not_known_is_never_taken(kind: Kind, is_written: bool, base_type: str) -> None:
    assert problem(Role(kind, is_written=is_written), f"x{base_type}") is None or kind is not Kind.ANY


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("is_active", "active", Written("active")),
        ("is_active", "!deleted_at", Written("deleted_at", is_inverted=True)),
        ("is_active", "", Written("")),
        ("s3_bucket", "+bucket", Written("bucket", may_be_created=True)),
        ("s3_key", "+key", Written("+key")),
        ("slug", "!slug", Written("!slug")),
    ],
)
def test_what_a_setting_says(field: str, value: str, expected: Written) -> None:
    assert parse(field, value) == expected
