"""What is left in a shared bucket whose documents went: this server counts one delete marker more, of the conditions' trial."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.data_room import Room

DOCUMENTS = 3


def test_the_emptied_bucket_goes(new_room: Callable[..., Room]) -> None:
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    root = room.server.root()
    room.json("migrate", "a")
    room.execute("UPDATE s3_migration_documents SET flipped_at = flipped_at - interval '8 days'")
    root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": "Enabled"})
    room.json("finish", "a", "--yes")
    [after] = room.json("cleanup")["buckets"]
    assert after["left"] == []
    assert after["older"]["delete_markers"] == DOCUMENTS + 1
    assert room.json("cleanup", "--drop-bucket", room.shared, "--yes")["buckets"][0]["is_removed"] is True
    assert room.shared not in {each["Name"] for each in root.list_buckets()["Buckets"]}
    pointers = room.rows("SELECT s3_bucket, s3_key FROM documents")
    read = [root.get_object(Bucket=bucket, Key=key)["Body"].read() for bucket, key in pointers]
    assert len(read) == DOCUMENTS
