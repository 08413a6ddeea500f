"""Dumps of a room's database, and what its documents are after one was restored."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.data_room import Room
from tests.support.postgres_programs import BINARIES


def dump_database(room: Room, file: Path, *options: str) -> Path:
    """Write a dump of the database; return the file."""
    subprocess.run([BINARIES / "pg_dump", *options, f"--file={file}", room.url], check=True)
    return file


def restore_database(room: Room, file: Path) -> None:
    """Replace the whole database, as one would with a new one."""
    room.execute("DROP SCHEMA public CASCADE")
    room.execute("CREATE SCHEMA public")
    subprocess.run(
        [BINARIES / "psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={file}", room.url],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def bodies_of(room: Room) -> dict[str, bytes | None]:
    """Download each document as its row says; None where nothing is there."""
    root, found = room.server.root(), {}
    for document_id, bucket, key in room.rows("SELECT id, s3_bucket, s3_key FROM documents"):
        try:
            found[document_id] = root.get_object(Bucket=bucket or room.shared, Key=key)["Body"].read()
        except (root.exceptions.NoSuchKey, root.exceptions.NoSuchBucket):
            found[document_id] = None
    return found
