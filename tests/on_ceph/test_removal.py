"""What is left in a shared bucket whose documents went: this server counts one delete marker more, of the conditions' trial."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.command import World

DOCUMENTS = 3


def test_the_emptied_bucket_goes(new_world: Callable[..., World]) -> None:
    world = new_world("integer")
    world.lay_out(DOCUMENTS)
    root = world.server.root()
    world.json("migrate", "a")
    world.execute("UPDATE s3_migration_documents SET flipped_at = flipped_at - interval '8 days'")
    root.put_bucket_versioning(Bucket=world.shared, VersioningConfiguration={"Status": "Enabled"})
    world.json("finish", "a", "--yes")
    [after] = world.json("cleanup")["buckets"]
    assert after["left"] == []
    assert after["older"]["delete_markers"] == DOCUMENTS + 1
    assert world.json("cleanup", "--drop-bucket", world.shared, "--yes")["buckets"][0]["is_removed"] is True
    assert world.shared not in {each["Name"] for each in root.list_buckets()["Buckets"]}
    pointers = world.rows("SELECT s3_bucket, s3_key FROM documents")
    read = [root.get_object(Bucket=bucket, Key=key)["Body"].read() for bucket, key in pointers]
    assert len(read) == DOCUMENTS
