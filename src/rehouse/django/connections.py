"""The storage of a process, and Django's connection for a call.

What must outlast a rolled back transaction is done on the storage's own connections, to the database that Django uses. Rows are
read and written on Django's connection, within its transaction if one is open. Nothing here knows a tenant.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from rehouse import config
from rehouse.ledger.application_rows import is_idle
from rehouse.runtime.storage import TenantStorage

_LIBPQ = frozenset(
    {
        *("dbname", "user", "password", "host", "port", "service", "passfile", "options", "connect_timeout"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "gssencmode", "application_name"),
        *("target_session_attrs", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    }
)
"""The parameters of Django's connections that libpq knows; the others are Django's and psycopg's."""
_opened: dict[tuple[str, str], TenantStorage] = {}
_opening = threading.Lock()


def storage_of(opener: str | Callable[[], TenantStorage] | None, using: str) -> TenantStorage:
    """Return the storage of this process: what `opener` returns, or one for the database of the alias `using`."""
    if callable(opener):
        return opener()
    target = opener or address_of(using)
    key = ("opener" if opener else "database", target)
    with _opening:
        if key not in _opened:
            _opened[key] = _call(opener) if opener else _open(target)
        return _opened[key]


def close_storages() -> None:
    """Close the storages of this process; the next call opens them again. Call it before a test database is dropped."""
    with _opening:
        while _opened:
            _opened.popitem()[1].close()


def connection_of(using: str) -> psycopg.Connection:
    """Return Django's connection of this thread, in the transaction that Django believes to be in.

    Within `atomic` psycopg begins the transaction with the first statement. That must not be one of ours, because the storage would
    then take the transaction for its own and commit it.
    """
    wrapper = connections[using]
    wrapper.ensure_connection()
    raw = wrapper.connection
    if not isinstance(raw, psycopg.Connection):
        raise ImproperlyConfigured(f"the database {using!r} is not PostgreSQL through psycopg 3, which rehouse needs")
    if wrapper.in_atomic_block and is_idle(raw):
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT 1")
    return raw


def address_of(using: str) -> str:
    """Return the address of a database of Django's, as libpq takes it. Raises ImproperlyConfigured unless it is PostgreSQL."""
    wrapper = connections[using]
    if wrapper.vendor != "postgresql":
        raise ImproperlyConfigured(f"the database {using!r} is not PostgreSQL, which rehouse needs")
    parameters = wrapper.get_connection_params()
    return make_conninfo(**{name: value for name, value in parameters.items() if name in _LIBPQ and value is not None})


def _open(address: str) -> TenantStorage:
    settings = config.load().model_copy(update={"database_url": SecretStr(address)})
    return TenantStorage.open(settings)


def _call(opener: str) -> TenantStorage:
    made = load(opener, "storage")()
    if not isinstance(made, TenantStorage):
        raise ImproperlyConfigured(f"{opener} returned {type(made).__name__}, not a TenantStorage")
    return made


def load(path: str, option: str) -> Callable[[], object]:
    """Return the callable that an option names. Raises ImproperlyConfigured."""
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"OPTIONS[{option!r}] of the storage: {error}") from error
    if not callable(found):
        raise ImproperlyConfigured(f"OPTIONS[{option!r}] of the storage: {path} cannot be called")
    return found  # type: ignore[no-any-return]
