"""Decide whether a tenant's plan has room for an upload. Pure functions; sizes in bytes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

GB_BYTES = 1024**3
"""A GB of `max_storage_gb`. The MB of `storage_used_mb`, with which the application compares it, are 1024² bytes, both as the older
tool counted them and as rehouse does. A GB of 10⁹ bytes would also refuse uploads that the tenant was promised.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a tenant's plan; None: no limit."""

    most_bytes: int | None = None
    most_documents: int | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What counts against a tenant's limits.

    `used`: by its rows. `reserved`: by grants that may still be confirmed, beyond what their rows count already. `more`: what one
    more grant would reserve.
    """

    used_bytes: int
    used_documents: int
    reserved_bytes: int
    reserved_documents: int
    more_bytes: int
    more_documents: int


def limit_bytes(max_storage_gb: object) -> int | None:
    """Return a plan's limit in bytes; a GB is 1024³ bytes, as the MB of `storage_used_mb` are 1024² bytes.

    | max_storage_gb | bytes        |
    |----------------|--------------|
    | NULL           | no limit     |
    | 100            | 107374182400 |
    | 0.5            | 536870912    |
    | 0              | 0            |
    | -1             | 0            |
    | NaN            | 0            |
    | Infinity       | no limit     |
    """
    return _limit(max_storage_gb, GB_BYTES)


def limit_documents(max_documents: object) -> int | None:
    """Return a plan's limit of documents; fractions are cut off, else as `limit_bytes`."""
    return _limit(max_documents, 1)


def _limit(value: object, unit: int) -> int | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return 0
    if number.is_nan():
        return 0
    if number.is_infinite():
        return None if number > 0 else 0
    return max(int(number * unit), 0)


def quota_problem(limits: Limits, room: Room) -> str | None:
    """Return which limit an upload would exceed, None if it may be granted.

    | limit       | used, reserved and more | more       | result  |
    |-------------|-------------------------|------------|---------|
    | none        | any                     | any        | granted |
    | is set      | at most the limit       | any        | granted |
    | is set      | more than the limit     | none       | granted |
    | is set      | more than the limit     | some       | refused |

    A tenant above its limit may still replace a document by one that is no larger.
    """
    total = room.used_bytes + room.reserved_bytes + room.more_bytes
    if limits.most_bytes is not None and room.more_bytes > 0 and total > limits.most_bytes:
        return _problem("bytes", limits.most_bytes, room.used_bytes, room.reserved_bytes, room.more_bytes)
    total = room.used_documents + room.reserved_documents + room.more_documents
    if limits.most_documents is not None and room.more_documents > 0 and total > limits.most_documents:
        return _problem(
            "documents", limits.most_documents, room.used_documents, room.reserved_documents, room.more_documents
        )
    return None


def _problem(unit: str, limit: int, used: int, reserved: int, more: int) -> str:
    return f"its limit is {limit:,} {unit}: {used:,} are used, {reserved:,} reserved by other uploads, and this one needs {more:,}"
