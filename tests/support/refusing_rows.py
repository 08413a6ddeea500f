"""What an application's database may refuse updates with."""

from __future__ import annotations

from tests.support.data_room import Room


def trigger(room: Room, table: str, body: str, timing: str = "BEFORE UPDATE", kind: str = "TRIGGER") -> None:
    """Let a trigger of every row do something about each update."""
    room.sql(f"CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body} END$$")
    deferred = "DEFERRABLE INITIALLY DEFERRED" if kind == "CONSTRAINT TRIGGER" else ""
    room.sql(f"CREATE {kind} guard {timing} ON {table} {deferred} FOR EACH ROW EXECUTE FUNCTION guard()")


def share_keys(room: Room) -> None:
    """Let a foreign key hold the keys as they are."""
    room.sql("ALTER TABLE documents ADD UNIQUE (s3_key)")
    room.sql("CREATE TABLE shares (s3_key text REFERENCES documents (s3_key) DEFERRABLE INITIALLY DEFERRED)")
    room.sql("INSERT INTO shares SELECT s3_key FROM documents")
