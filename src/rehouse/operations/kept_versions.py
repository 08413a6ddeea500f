"""Does the storage of a source end with its removal? Not in a versioned bucket: a removal there only adds a delete marker."""

from __future__ import annotations

from rehouse.core.errors import RehouseError
from rehouse.operations.services import Services

VERSIONED = (
    "{bucket} is versioned: finish only adds delete markers there, so the doubled storage stays, and is paid for, until a "
    "lifecycle rule of that bucket expires its noncurrent versions"
)
UNKNOWN = "whether {bucket} is versioned could not be read: if it is, the doubled storage does not end with finish"


def kept_versions(services: Services) -> tuple[str, ...]:
    """Return a sentence for each shared bucket whose storage does not end with `finish`, or of which that is not known."""
    return services.control.once("buckets that keep versions", lambda: _sentences(services))


def _sentences(services: Services) -> tuple[str, ...]:
    told = ((bucket, _sentence(services, bucket)) for bucket in services.settings.require_shared_buckets())
    return tuple(sentence.format(bucket=bucket) for bucket, sentence in told if sentence)


def _sentence(services: Services, bucket: str) -> str | None:
    try:
        found = services.control.read_setting(bucket, "versioning")
    except RehouseError:
        return UNKNOWN
    if found.state == "unreadable":
        return UNKNOWN
    return VERSIONED if found.value and found.value.get("Status") == "Enabled" else None
