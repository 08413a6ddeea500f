"""What each mapped column must be, and how a setting names it: `name`, `""` (no such column), `!name` or `+name`.

Pure functions: they take a column as PostgreSQL describes it and return what is wrong with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

INVERTED = "!"
"""Before the name of `is_active`: the column marks inactive tenants (a flag, or the time of deletion)."""
CREATED = "+"
"""Before the name of a column that `rehouse init` may create."""
SHORTEST_ETAG = 32
"""The length of an MD5 ETag without quotes."""
LONGEST_ETAG = 40
"""The length of a multipart ETag with quotes: 32 digits, a hyphen and up to five digits, plus two quotes."""


class Kind(StrEnum):
    """The kind of values that a column must hold."""

    ANY = "any type"
    ID = "an integer, a uuid, a text, or another type whose values have one spelling"
    TEXT = "text or varchar"
    NUMBER = "a number"
    FLAG = "boolean"
    TIME = "timestamp with or without time zone, or date"


_TYPES = {
    Kind.TEXT: {"text", "character varying"},
    Kind.NUMBER: {"smallint", "integer", "bigint", "numeric", "real", "double precision"},
    Kind.FLAG: {"boolean"},
    Kind.TIME: {"timestamp with time zone", "timestamp without time zone", "date"},
}
_NO_IDS = {
    *_TYPES[Kind.FLAG],
    *_TYPES[Kind.TIME],
    *("bytea", "real", "double precision", "json", "jsonb", "xml", "interval"),
    *("time with time zone", "time without time zone", "inet", "cidr"),
}
"""Types that cannot be ids, because PostgreSQL and Python write their values differently: an id read from a row would not find
the row again.
"""


@dataclass(frozen=True, slots=True)
class Role:
    """What rehouse needs of a mapped column.

    `is_written`: rehouse writes it. `created_as`: the type with which `init` creates it. `may_be_off`: the setting may be `""`.
    `is_off_without_column`: if there is no column of the default name, the setting counts as `""`.
    """

    kind: Kind = Kind.ANY
    is_written: bool = False
    created_as: str | None = None
    may_be_off: bool = False
    is_off_without_column: bool = False


ROLES: dict[str, dict[str, Role]] = {
    "tenants": {
        "id": Role(Kind.ID),
        "slug": Role(may_be_off=True),
        "name": Role(may_be_off=True),
        "aws_bucket_name": Role(Kind.TEXT, is_written=True, created_as="varchar(255)"),
        "is_active": Role(Kind.FLAG, may_be_off=True),
        "max_storage_gb": Role(Kind.NUMBER, may_be_off=True, is_off_without_column=True),
        "max_documents": Role(Kind.NUMBER, may_be_off=True, is_off_without_column=True),
    },
    "documents": {
        "id": Role(Kind.ID),
        "tenant_id": Role(Kind.ID),
        "original_name": Role(may_be_off=True),
        "s3_bucket": Role(Kind.TEXT, is_written=True, created_as="varchar(255)"),
        "s3_key": Role(Kind.TEXT, is_written=True),
        "etag": Role(Kind.TEXT, is_written=True, created_as="varchar(255)", may_be_off=True),
        "size": Role(Kind.NUMBER, may_be_off=True),
        "file_size": Role(Kind.NUMBER, is_written=True, created_as="bigint", may_be_off=True),
        "uploaded_at": Role(Kind.TIME, may_be_off=True),
    },
}


@dataclass(frozen=True, slots=True)
class Written:
    """A parsed column setting: the name (empty: no such column), and whether it is inverted or may be created."""

    name: str
    is_inverted: bool = False
    may_be_created: bool = False


def parse(field: str, value: str) -> Written:
    """Parse the setting of a column.

    >>> parse("is_active", "!deactivated"), parse("s3_bucket", "+bucket").may_be_created
    (Written(name='deactivated', is_inverted=True, may_be_created=False), True)
    """
    if field == "is_active" and value.startswith(INVERTED):
        return Written(value.removeprefix(INVERTED), is_inverted=True)
    if value.startswith(CREATED) and any(field in roles and roles[field].created_as for roles in ROLES.values()):
        return Written(value.removeprefix(CREATED), may_be_created=True)
    return Written(value)


def problem_of(
    role: Role, base_type: str, *, max_length: int | None, is_generated: bool, is_inverted: bool, is_etag: bool
) -> str | None:
    """Return what is wrong with an existing column, None if it fits.

    `base_type` is the type without its length.

    | the column                                             | problem          |
    |--------------------------------------------------------|------------------|
    | is written, and PostgreSQL generates it                | generated        |
    | is an inverted flag: a boolean or a time               | none             |
    | is an inverted flag of another type                    | its type         |
    | has a type of another kind                             | the kind         |
    | is the ETag's, and too short for any ETag              | its length       |
    | anything else                                          | none             |
    """
    if role.is_written and is_generated:
        return "is generated by PostgreSQL, and rehouse has to write it"
    if is_inverted:
        is_fit = base_type in _TYPES[Kind.FLAG] | _TYPES[Kind.TIME]
        return None if is_fit else f"has the type {base_type}, and rehouse needs {Kind.FLAG}, {Kind.TIME}"
    if not _fits(role.kind, base_type):
        return f"has the type {base_type}, and rehouse needs {role.kind}"
    if is_etag and max_length is not None and max_length < SHORTEST_ETAG:
        return f"holds {max_length} characters, and an ETag has {SHORTEST_ETAG} to {LONGEST_ETAG}"
    return None


def _fits(kind: Kind, base_type: str) -> bool:
    if kind is Kind.ID:
        return base_type not in _NO_IDS and not base_type.endswith(("[]", "range"))
    return kind is Kind.ANY or base_type in _TYPES[kind]
