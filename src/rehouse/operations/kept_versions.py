"""Does the storage of a source end with its removal? Not in a versioned bucket: a removal there only adds a delete marker."""

from __future__ import annotations

from rehouse.core.errors import RehouseError
from rehouse.operations.services import Services
from rehouse.operations.shared_versioning import versioning_of

VERSIONED = (
    "{bucket} is versioned: finish only adds delete markers there, so the doubled storage stays, and is paid for, until a "
    "lifecycle rule of that bucket expires its noncurrent versions"
)
UNKNOWN = "whether {bucket} is versioned could not be read: if it is, the doubled storage does not end with finish"


def kept_versions(services: Services) -> tuple[str, ...]:
    """Return a sentence for each shared bucket whose storage does not end with `finish`, or of which that is not known."""
    told = ((bucket, _sentence(services, bucket)) for bucket in services.settings.require_shared_buckets())
    return tuple(sentence.format(bucket=bucket) for bucket, sentence in told if sentence)


def _sentence(services: Services, bucket: str) -> str | None:
    try:
        versioning = versioning_of(services.control, bucket)
    except RehouseError:
        return UNKNOWN
    return VERSIONED if versioning == "enabled" else UNKNOWN if versioning == "not readable" else None
