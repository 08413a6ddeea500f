"""Let everything that a storage recorded be old, so that a sweep has to remove it."""

from __future__ import annotations

from typing import Any


def age(room: Any) -> None:
    """Move the grants and deletions of a room two days back."""
    room.sql(
        "UPDATE s3_upload_grants SET expires_at = expires_at - interval '2 days', changed_at = changed_at - interval '2 days'"
    )
    room.sql("UPDATE s3_pending_deletions SET created_at = created_at - interval '2 days'")
