"""A document's id may be of any type: it is text between PostgreSQL's table and ours, and nowhere a different document."""

from __future__ import annotations

import pytest
from tests.support.data_room import Room

from rehouse.core.lifecycle import Status

IDS = {
    "bigint": ("7", "12", "9007199254740993"),
    "uuid": ("00000000-0000-7000-8000-000000000001", "ffffffff-ffff-4fff-8fff-ffffffffffff"),
    "text": ("", "a'b\"c\\d", "ä\t\n,{}", "-1"),
}


@pytest.mark.parametrize("kind", IDS)
def test_a_tenant_is_migrated_whatever_type_its_ids_have(room: Room, kind: str):
    room.sql(f"ALTER TABLE documents ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id TYPE {kind} USING id::{kind}")
    for number, document_id in enumerate(IDS[kind]):
        room.put(f"k/{number}", document_id.encode() + b"!")
        room.row(document_id, f"k/{number}", bucket=room.shared, original_name="name.txt")
    assert room.migrate(batch_size=2).status is Status.COMPLETED
    assert room.migrate(batch_size=2).had_nothing_to_do
    assert {str(document_id): state for document_id, state in room.states().items()} == dict.fromkeys(
        IDS[kind], "flipped"
    )
    for document_id in IDS[kind]:
        assert room.pointer(document_id)[0] == room.home()
        assert room.body(document_id) == document_id.encode() + b"!"
    assert room.verify().is_well
