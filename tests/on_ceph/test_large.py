"""One document above 5 GiB, the limit of a single CopyObject, with no limit lowered: it goes in parts, and every byte arrives."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.ceph import CephServer, missing
from tests.support.data_room import Room
from tests.support.rooms import rooms_on

from rehouse.sandbox.postgres import PostgresServer

MIB = 1024**2
GIB = 1024**3
PART_BYTES = 512 * MIB
PARTS = 10
LAST_BYTES = 100 * MIB
SIZE = PARTS * PART_BYTES + LAST_BYTES
STORE_BYTES = 16 * GIB
"""The document twice, and room; in a file, which takes from the disk what is written."""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def roomy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CephServer]:
    """A gateway of its own, with room (the others' is in memory, and small): what it holds is given back at its end."""
    if absent := missing():
        pytest.skip(f"Ceph is not installed (no {', '.join(absent)})")
    folder = tmp_path_factory.mktemp("ceph")
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < STORE_BYTES:
        pytest.skip(
            f"{free_bytes / GIB:.0f} GiB of disk are free, a document above 5 GiB twice needs {STORE_BYTES / GIB:.0f}"
        )
    with CephServer(folder / "large", store_bytes=STORE_BYTES, is_in_memory=False) as server:
        yield server


@pytest.fixture(scope="module")
def large_room(postgres: PostgresServer, roomy_server: CephServer, templates: Callable[[str], str]) -> Iterator[Room]:
    """One tenant with one document of 5.1 GiB, uploaded in parts that differ."""
    for make in rooms_on(postgres, roomy_server, templates):
        room = make("integer")
        upload_large_document(room)
        yield room


def upload_large_document(room: Room) -> None:
    """Upload it, and insert its row."""
    assert SIZE > 5 * GIB
    root = room.server.root()
    upload = root.create_multipart_upload(
        Bucket=room.shared,
        Key="large.bin",
        ContentType="application/x-large",
        Metadata={"a": "b"},
    )["UploadId"]
    place = {"Bucket": room.shared, "Key": "large.bin", "UploadId": upload}
    parts = []
    for number in range(1, PARTS + 2):
        answer = root.upload_part(**place, PartNumber=number, Body=part(number))
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    root.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    tags: Any = {"TagSet": [{"Key": "large", "Value": "yes"}]}  # tags that come with the upload this server cannot read
    root.put_object_tagging(Bucket=room.shared, Key="large.bin", Tagging=tags)
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    room.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size) "
        "VALUES ('d', 1, 'large.bin', 'f', %s, 'large.bin', %s)",
        room.shared,
        1,
    )


def part(number: int) -> bytes:
    """Return the bytes of a part: a block that tells its number, repeated."""
    block = f"part {number:02} ".encode() * (MIB // 8)
    return block * ((PART_BYTES if number <= PARTS else LAST_BYTES) // MIB)


def expected_digest() -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for number in range(1, PARTS + 2):
        digest.update(part(number))
    return digest.hexdigest()


def test_a_document_above_5_gib_arrives_whole(large_room: Room) -> None:
    room, root = large_room, large_room.server.root()
    done = room.run("migrate", "a", seconds=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    [(bucket, key, size)] = room.rows("SELECT s3_bucket, s3_key, file_size FROM documents")
    assert (bucket != room.shared, size) == (True, SIZE)
    found = root.get_object(Bucket=bucket, Key=key)
    assert (found["ContentLength"], found["ContentType"]) == (SIZE, "application/x-large")
    assert found["Metadata"]["a"] == "b"
    assert root.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [{"Key": "large", "Value": "yes"}]
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in found["Body"].iter_chunks(8 * MIB):
        digest.update(chunk)
    assert digest.hexdigest() == expected_digest()
    assert "Uploads" not in root.list_multipart_uploads(Bucket=bucket)
    assert room.run("verify", "a").returncode == 0
