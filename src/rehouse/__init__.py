"""rehouse moves the tenants of a SaaS out of one shared S3 bucket into a bucket each, and proves that nothing was lost.

`TenantStorage` is the storage for the application itself: before, during and after the move.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rehouse.runtime.storage import TenantStorage
    from rehouse.runtime.values import UploadGrant

__all__ = ["TenantStorage", "UploadGrant", "__version__"]
__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import the application's storage when it is first used: the command line needs none of it."""
    if name == "TenantStorage":
        from rehouse.runtime.storage import TenantStorage

        return TenantStorage
    if name == "UploadGrant":
        from rehouse.runtime.values import UploadGrant

        return UploadGrant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
