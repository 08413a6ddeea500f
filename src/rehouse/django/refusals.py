"""What Django's callers get when something is refused: Django's own exceptions, with rehouse's error as their cause.

Other errors of rehouse pass as they are: QuotaExceeded, TryAgain, DatabaseRefused and the like say what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.exceptions import SuspiciousFileOperation, SuspiciousOperation

from rehouse.core.errors import (
    BadUpload,
    ForeignPointer,
    InactiveTenant,
    NoSuchDocument,
    NoSuchObject,
    RehouseError,
    UnknownTenant,
)


class NoCurrentTenant(SuspiciousOperation):
    """The resolver named no tenant. There is no default one, so nothing is read or written."""


class TenantFileRefused(SuspiciousFileOperation):
    """The tenant is unknown or not active, the file is not the tenant's, or its name cannot be stored."""


@contextmanager
def translate_refusals() -> Iterator[None]:
    """Raise FileNotFoundError for a missing file, TenantFileRefused for what is not the tenant's."""
    try:
        yield
    except (NoSuchDocument, NoSuchObject) as error:
        raise FileNotFoundError(_text_of(error)) from error
    except (BadUpload, ForeignPointer, InactiveTenant, UnknownTenant) as error:
        raise TenantFileRefused(_text_of(error)) from error


def _text_of(error: RehouseError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
