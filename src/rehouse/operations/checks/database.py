"""The database: reachable without a pooler, new enough, writable, mapped, not blinded by row security, with our rights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from rehouse.config import Settings
from rehouse.core.errors import RehouseError
from rehouse.ledger import catalog as catalogs
from rehouse.ledger.belonging import explain, find_differences
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.encoding import UNCHECKED
from rehouse.ledger.inspection import Inspection
from rehouse.ledger.ledger import translating
from rehouse.operations.checks.check import Check, depending, failed, looked_at, notice, of_error, ok
from rehouse.operations.checks.column_widths import ROOM, check_room
from rehouse.operations.checks.usage import USAGE, check_usage

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
"""gen_random_uuid() is built in from PostgreSQL 13 on."""


def check_database(settings: Settings) -> Iterator[Check]:
    """Yield the checks of the database."""
    opened = ExitStack()
    try:
        inspection = opened.enter_context(Inspection.open(settings))
    except RehouseError as error:
        yield of_error(CONNECTION, error)
        yield from depending(
            (VERSION, ENCODING, WRITABLE, MAPPING, ROW_SECURITY, RIGHTS, IDS, SCHEMA, ROOM),
            "no connection to the database",
        )
        return
    with opened:
        yield ok(CONNECTION, f"{inspection.place}, no connection pooler in between")
        yield looked_at(VERSION, lambda: _version(inspection))
        yield looked_at(ENCODING, lambda: _encoding(inspection))
        yield looked_at(WRITABLE, lambda: _writable(inspection))
        yield from _mapped(inspection, settings)


def _version(inspection: Inspection) -> Check:
    number = inspection.version
    told = f"PostgreSQL {number // 10000}.{number % 10000}"
    return (
        ok(VERSION, told) if number >= OLDEST_SERVER else failed(VERSION, told, "rehouse needs PostgreSQL 13 or newer")
    )


def _encoding(inspection: Inspection) -> Check:
    encoding = inspection.encoding
    if encoding == "UTF8":
        return ok(ENCODING, encoding)
    if encoding == UNCHECKED:
        told = f"{encoding}: PostgreSQL does not check what texts hold; rehouse takes them as UTF-8"
        return notice(ENCODING, told, "a document whose key is not UTF-8 is not moved (invalid_key)")
    told = f"{encoding}: it cannot hold every key of S3"
    return notice(
        ENCODING, told, "objects whose keys it cannot hold are counted and left alone: no row can point to them"
    )


def _writable(inspection: Inspection) -> Check:
    is_standby, is_read_only = inspection.writability()
    if is_standby or is_read_only:
        what = "it is a standby server" if is_standby else "transactions are read-only"
        return failed(WRITABLE, what, "connect to the primary server, as a role that may write")
    return ok(WRITABLE, "it is a primary server and takes writes")


def _mapped(inspection: Inspection, settings: Settings) -> Iterator[Check]:
    try:
        found = inspection.catalog(settings)
    except RehouseError as error:
        subject = ROW_SECURITY if "row security" in error.message else MAPPING
        yield of_error(subject, error)
        rest = [each for each in (MAPPING, ROW_SECURITY, RIGHTS, IDS, SCHEMA, ROOM) if each != subject]
        yield from depending(rest, "the application's tables could not be read")
        return
    tables = f"{found.tenants.name} and {found.documents.name}, tenant ids are {found.tenant_id_type}"
    yield ok(MAPPING, tables)
    yield looked_at(ROW_SECURITY, lambda: _row_security(inspection, found))
    yield looked_at(RIGHTS, lambda: _rights(inspection, found))
    yield looked_at(IDS, lambda: _ids(inspection, found))
    yield looked_at(SCHEMA, lambda: _schema(found, settings))
    if found.version:
        yield looked_at(USAGE, lambda: check_usage(inspection, found))
    yield looked_at(ROOM, lambda: check_room(inspection, found, settings))


def _row_security(inspection: Inspection, found: Catalog) -> Check:
    # Every connection has row_security off: a role that policies would blind gets an error here, not an empty answer.
    counts = []
    for table in (found.tenants, found.documents):
        counts.append(f"{table.name} {'has rows' if inspection.has_rows(table) else 'is empty'}")
    return ok(ROW_SECURITY, f"no policy hides rows from this role; {', '.join(counts)}")


def _rights(inspection: Inspection, found: Catalog) -> Check:
    missing = [right.name for right in inspection.rights(found) if not right.is_granted]
    if missing:
        return failed(
            RIGHTS,
            f"{inspection.role} lacks: {', '.join(missing)}",
            f"grant them, or connect as the owner of {found.documents.name}",
        )
    return ok(RIGHTS, "read and update the application's tables, make rehouse's own beside them")


def _ids(inspection: Inspection, found: Catalog) -> Check:
    ambiguities = inspection.ambiguities(found)
    if ambiguities:
        message = "; ".join(each.message for each in ambiguities)
        return failed(IDS, message, "; ".join(each.hint for each in ambiguities))
    unique = "an id names one document" if found.ids_are_unique else "an id names one document of a tenant"
    return ok(IDS, f"{unique}; a unique index holds it")


def _schema(found: Catalog, settings: Settings) -> Check:
    differences = find_differences(found)
    if differences:
        return failed(SCHEMA, *explain(differences, settings))
    if found.version and found.version != catalogs.VERSIONS[-1]:
        told = f"there, version {found.version}; this rehouse works with {catalogs.VERSIONS[-1]}"
        return notice(SCHEMA, told, "`rehouse init` upgrades them, the next migrate does it too")
    if found.version:
        return ok(SCHEMA, f"there, version {found.version}")
    adopted = f"; {', '.join(sorted(found.own))} will be adopted" if found.own else ""
    return notice(SCHEMA, f"not there yet{adopted}", "`rehouse init` makes them, the first migrate does it too")


def count_tenants(settings: Settings) -> int | None:
    """Return how many tenants may want a bucket, None where the database does not tell."""
    try:
        with translating(), Inspection.open(settings) as inspection:
            return inspection.count_tenants(inspection.catalog(settings))
    except RehouseError:
        return None
