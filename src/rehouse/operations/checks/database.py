"""Checks of the database: direct connection, version, writable, mapping, row security, rights, column lengths.

The application's columns must be long enough for the names of the new buckets and for the new keys. A name that does not fit is
found here, and not by the update that points a tenant to its bucket.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from rehouse.config import Settings
from rehouse.core.errors import RehouseError
from rehouse.core.mapping import LONGEST_ETAG, SHORTEST_ETAG
from rehouse.core.naming import MAX_BUCKET_NAME, MAX_NAME_BYTES, SUFFIX_DIGITS, bucket_name
from rehouse.ledger import catalog as catalogs
from rehouse.ledger.belonging import explain, find_differences
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.encoding import UNCHECKED
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.inspection import Inspection
from rehouse.ledger.schema import is_current
from rehouse.operations.checks.check import Check, failure, notice, of_error, ok, skip_dependents, try_check

CONNECTION = "database: connection"
VERSION = "database: version"
ENCODING = "database: encoding"
WRITABLE = "database: writable"
MAPPING = "database: mapping"
ROW_SECURITY = "database: row security"
RIGHTS = "database: rights"
IDS = "database: ids"
SCHEMA = "database: rehouse's own tables"

OLDEST_SERVER = 130000
"""PostgreSQL 13 is the first version with a built-in gen_random_uuid()."""


def check_database(settings: Settings) -> Iterator[Check]:
    """Yield the checks of the database."""
    opened = ExitStack()
    try:
        inspection = opened.enter_context(Inspection.open(settings))
    except RehouseError as error:
        yield of_error(CONNECTION, error)
        yield from skip_dependents(
            (VERSION, ENCODING, WRITABLE, MAPPING, ROW_SECURITY, RIGHTS, IDS, SCHEMA, ROOM),
            "no connection to the database",
        )
        return
    with opened:
        yield ok(CONNECTION, f"{inspection.place}, no connection pooler in between")
        yield try_check(VERSION, lambda: _version(inspection))
        yield try_check(ENCODING, lambda: _encoding(inspection))
        yield try_check(WRITABLE, lambda: _writability(inspection))
        yield from _mapping(inspection, settings)


def _version(inspection: Inspection) -> Check:
    number = inspection.version
    told = f"PostgreSQL {number // 10000}.{number % 10000}"
    return (
        ok(VERSION, told) if number >= OLDEST_SERVER else failure(VERSION, told, "rehouse needs PostgreSQL 13 or newer")
    )


def _encoding(inspection: Inspection) -> Check:
    encoding = inspection.encoding
    if encoding == "UTF8":
        return ok(ENCODING, encoding)
    if encoding == UNCHECKED:
        told = f"{encoding}: PostgreSQL does not check the encoding of texts; rehouse reads them as UTF-8"
        return notice(ENCODING, told, "a document whose key is not UTF-8 is not moved (invalid_key)")
    told = f"{encoding}: it cannot hold every key of S3"
    return notice(
        ENCODING,
        told,
        "rehouse counts objects whose keys it cannot hold and does not move them: no row can point to them",
    )


def _writability(inspection: Inspection) -> Check:
    is_standby, is_read_only = inspection.writability()
    if is_standby or is_read_only:
        what = "it is a standby server" if is_standby else "transactions are read-only"
        return failure(WRITABLE, what, "connect to the primary server, as a role that may write")
    return ok(WRITABLE, "it is a primary server and accepts writes")


def _mapping(inspection: Inspection, settings: Settings) -> Iterator[Check]:
    try:
        found = inspection.catalog(settings)
    except RehouseError as error:
        subject = ROW_SECURITY if "row security" in error.message else MAPPING
        yield of_error(subject, error)
        rest = [each for each in (MAPPING, ROW_SECURITY, RIGHTS, IDS, SCHEMA, ROOM) if each != subject]
        yield from skip_dependents(rest, "the application's tables could not be read")
        return
    tables = f"{found.tenants.name} and {found.documents.name}, tenant ids are {found.tenant_id_type}"
    yield ok(MAPPING, tables)
    yield try_check(ROW_SECURITY, lambda: _row_security(inspection, found))
    yield try_check(RIGHTS, lambda: _rights(inspection, found))
    yield try_check(IDS, lambda: _ids(inspection, found))
    yield try_check(SCHEMA, lambda: _schema(found, settings))
    if found.version:
        yield try_check(USAGE, lambda: check_usage(inspection, found))
    yield try_check(ROOM, lambda: check_room(inspection, found, settings))


def _row_security(inspection: Inspection, found: Catalog) -> Check:
    # Every connection has row_security off, so a role that may not see all rows gets an error here, not an empty answer.
    counts = []
    for table in (found.tenants, found.documents):
        counts.append(f"{table.name} {'has rows' if inspection.has_rows(table) else 'is empty'}")
    return ok(ROW_SECURITY, f"no policy hides rows from this role; {', '.join(counts)}")


def _rights(inspection: Inspection, found: Catalog) -> Check:
    lacking = [right for right in inspection.rights(found) if not right.is_granted]
    missing = [right for right in lacking if right.is_needed]
    grants = " ".join(inspection.grants(missing or lacking))
    detail = f"{inspection.role} lacks: {', '.join(right.name for right in missing or lacking)}"
    if missing:
        owner = f"connect as the owner of {found.documents.name}"
        return failure(RIGHTS, detail, f"{owner}, or: {grants}" if grants else owner)
    if lacking:
        return notice(
            RIGHTS,
            f"{detail}; everything else works",
            f"to show its commands in `status --watch`, and to sweep uploads in `cleanup`: {grants}",
        )
    return ok(RIGHTS, "it can read and update the application's tables, and create rehouse's tables beside them")


def _ids(inspection: Inspection, found: Catalog) -> Check:
    ambiguities = inspection.ambiguities(found)
    if ambiguities:
        message = "; ".join(each.message for each in ambiguities)
        return failure(IDS, message, "; ".join(each.hint for each in ambiguities))
    unique = "an id names one document" if found.ids_are_unique else "an id names one document within a tenant"
    return ok(IDS, f"{unique}, as a unique index ensures")


def _schema(found: Catalog, settings: Settings) -> Check:
    differences = find_differences(found)
    if differences:
        return failure(SCHEMA, *explain(differences, settings))
    if found.version and found.version != catalogs.VERSIONS[-1]:
        told = f"they have version {found.version}; this rehouse needs {catalogs.VERSIONS[-1]}"
        return notice(SCHEMA, told, "run `rehouse init` to upgrade them; the next migrate does so too")
    if found.version and not is_current(found):
        told = f"they have version {found.version}, but are not complete"
        return notice(SCHEMA, told, "run `rehouse init` to complete them; the next migrate does so too")
    if found.version:
        return ok(SCHEMA, f"they have version {found.version}")
    adopted = f"; {', '.join(sorted(found.own))} will be adopted" if found.own else ""
    return notice(
        SCHEMA, f"they do not exist yet{adopted}", "run `rehouse init` to create them; the first migrate does so too"
    )


def count_tenants(settings: Settings) -> int | None:
    """Return how many tenants may need a bucket, None if the database cannot be asked."""
    try:
        with translate_errors(), Inspection.open(settings) as inspection:
            return inspection.count_tenants(inspection.catalog(settings))
    except RehouseError:
        return None


ROOM = "database: room for names and keys"
SHORTEST_KEY = 100
"""`documents/`, the digest of an id (71 characters), and a name that is long enough to be distinguished."""
LONGEST_KEY = len("documents//") + 71 + MAX_NAME_BYTES
"""The length that no key of rehouse exceeds, because longer names are cut."""


def check_room(inspection: Inspection, found: Catalog, settings: Settings) -> Check:
    """Return whether the three columns that a migration writes are long enough."""
    columns = (
        found.column("tenants", "aws_bucket_name"),
        found.column("documents", "s3_bucket"),
        found.column("documents", "s3_key"),
    )
    home, bucket, key = (
        f"{table.name}.{column}"
        for table, column in zip((found.tenants, found.documents, found.documents), columns, strict=True)
    )
    needed = _longest_name(inspection, found, settings)
    shared = max(map(len, settings.require_shared_buckets()))
    short = [
        *_short_columns(home, found.home_max_length, needed, MAX_BUCKET_NAME),
        *_short_columns(bucket, found.bucket_max_length, max(needed, shared), MAX_BUCKET_NAME),
        *_short_columns(key, found.key_max_length, SHORTEST_KEY, LONGEST_KEY),
        *_short_columns(*_etag(found), SHORTEST_ETAG, LONGEST_ETAG),
    ]
    hint = "; ".join(f"make {column} a varchar({wanted}) or longer" for column, _, wanted, _ in short)
    told = ", ".join(f"{column} holds {length} characters" for column, length, _, _ in short)
    if any(too_short for *_, too_short in short):
        return failure(ROOM, told, hint)
    if short:
        return notice(ROOM, f"{told}: enough for now; longer slugs would not fit, longer file names are cut", hint)
    return ok(ROOM, f"{home}, {bucket} and {key} are long enough")


def _etag(found: Catalog) -> tuple[str, int | None]:
    name = found.column("documents", "etag")
    column = found.documents.columns.get(name)
    return f"{found.documents.name}.{name}", column.max_length if column else None


def _short_columns(column: str, length: int | None, needed: int, wanted: int) -> Iterable[tuple[str, int, int, bool]]:
    """Yield each column that is too short for some name: column, length, sufficient length, whether it is too short already."""
    if length is not None and length < wanted:
        yield column, length, wanted, length < needed


def _longest_name(inspection: Inspection, found: Catalog, settings: Settings) -> int:
    if settings.bucket_namespace != "global":
        return MAX_BUCKET_NAME
    suffix = "0" * SUFFIX_DIGITS
    return max(
        (len(bucket_name(settings.bucket_prefix, label, suffix)) for label in inspection.labels(found)), default=0
    )


USAGE = "database: usage"
_MANY = 10_000


def check_usage(inspection: Inspection, found: Catalog) -> Check:
    """Return the check of tenant_usage. A problem there does not prevent a migration."""
    state = inspection.usage(found)
    if state is None:
        return notice(USAGE, "tables that hold usage are missing", "run `rehouse init` to create them and count again")
    if state.faults:
        step, code, message = state.faults[0]
        what = "some changes could not be counted" if step == "count" else "pending changes could not be added"
        way_out = "`rehouse init` counts again" if step == "count" else "correct this, then run `rehouse status`"
        return notice(USAGE, f"{what}: {message} (SQLSTATE {code})", way_out)
    if state.pending > _MANY:
        told = f"{state.pending:,} changes are waiting to be added to tenant_usage"
        return notice(USAGE, told, "`rehouse status` adds them: run it regularly if all your writers are SERIALIZABLE")
    return ok(USAGE, f"triggers keep it up to date; {state.pending:,} changes are waiting to be added")
