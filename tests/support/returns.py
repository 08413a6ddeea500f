"""Rollbacks of the tenant `acme`, the removal of its former home, and the keys on both ways."""

from __future__ import annotations

from tests.support.data_room import Room

from rehouse.core.naming import returned_key
from rehouse.operations.buckets.drop import DropReport, bucket_to_drop, drop_bucket
from rehouse.operations.report import ReturnReport
from rehouse.operations.rollback import roll_back_one


def roll_back(room: Room, slug: str = "acme", *, dry_run: bool = False, **more: object) -> ReturnReport:
    with room.services(writes=not dry_run, **more) as services:
        return roll_back_one(services, services.ledger.tenant(slug), dry_run=dry_run)


def at_home(room: Room, document_id: str) -> str:
    """The key of a document in the home."""
    return f"documents/{document_id}/{document_id}.txt"


def returned(document_id: str, **more: str) -> str:
    return returned_key("acme", document_id, f"{document_id}.txt", **more)


def drop(room: Room, *, dry_run: bool = False, grace_days: float = 0, keep_empty: bool = False) -> DropReport:
    with room.services(writes=not dry_run, grace_days=grace_days) as services:
        tenant = services.ledger.tenant("acme")
        bucket = bucket_to_drop(services, tenant)
        return drop_bucket(services, tenant, bucket, dry_run=dry_run, keep_empty=keep_empty)
