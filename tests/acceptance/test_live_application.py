"""The application goes on working while its tenants move: no read fails, none is stale, and in the end all is at home."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.application import body
from tests.support.data_room import Room
from tests.support.sampling import LONG_SAMPLE

pytestmark = [*LONG_SAMPLE, pytest.mark.xdist_group("live")]

SLUGS = ("blue", "green", "red")
EACH = 60


@pytest.fixture(scope="module")
def room(new_room) -> Room:
    """Three tenants with documents in version 1, some without a bucket in their row."""
    made = new_room("integer")
    root = made.server.root()
    tenants = [
        made.rows("INSERT INTO tenants (name, slug) VALUES (%s, %s) RETURNING id", slug, slug)[0][0] for slug in SLUGS
    ]
    documents = [
        (f"{slug}-{number}", tenant) for slug, tenant in zip(SLUGS, tenants, strict=True) for number in range(EACH)
    ]
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda each: root.put_object(Bucket=made.shared, Key=f"k/{each[0]}", Body=body(each[0], 1)), documents
            )
        )
    for number, (document_id, tenant) in enumerate(documents):
        made.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, analysis) "
            "VALUES (%s, %s, 'a.txt', 'a.txt', %s, %s, 1, '{\"version\": 1}')",
            document_id, tenant, None if number % 4 == 0 else made.shared, f"k/{document_id}",
        )  # fmt: skip
    return made


@contextlib.contextmanager
def application(room: Room) -> Iterator[dict[str, object]]:
    """Run the application meanwhile; what it saw is there afterwards."""
    keys = room.server.user(
        f"application-{room.shared}",
        {"objects": {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "*"}]}},
    )  # fmt: skip
    environment = room.environment() | {
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "APPLICATION_SHARED_BUCKET": room.shared,
    }
    program = Path(__file__).parents[1] / "support" / "application.py"
    process = subprocess.Popen(
        [sys.executable, str(program), *SLUGS],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    told: dict[str, object] = {}
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        yield told
        out, _ = process.communicate(timeout=180)
        told |= json.loads(out)
    finally:
        process.kill()


@pytest.fixture(scope="module")
def told(room: Room) -> dict[str, object]:
    """What the application saw during two runs; the first is slow enough for much to happen in between."""
    with application(room) as seen:
        time.sleep(0.3)
        runs = [room.run("migrate-all", REHOUSE_MAX_RATE="150", REHOUSE_BATCH_SIZE="25")]
        runs.append(room.run("migrate-all"))
        time.sleep(0.3)
    return seen | {"runs": runs}


def test_no_read_fails_and_none_is_stale(told) -> None:
    assert told["wrong"] == []
    assert told["seen"]["reads"] > 100
    assert 0 < told["seen"]["reads at home"] < told["seen"]["reads"]


def test_the_writers_wrote_on_both_sides(told) -> None:
    assert 0 < told["seen"]["overwrites at home"] < told["seen"]["overwrites"]
    assert min(told["seen"][deed] for deed in ("replacements", "uploads", "deletions")) > 5


def test_everything_is_in_its_place_after_one_more_run(room, told) -> None:
    assert {run.returncode for run in told["runs"]} <= {0, 1}
    closing = room.json("migrate-all")
    assert [each["status"] for each in closing["tenants"]] == ["completed"] * len(SLUGS)
    root = room.server.root()
    rows = room.rows(
        "SELECT d.id, d.s3_bucket, t.aws_bucket_name, d.s3_key, (d.analysis->>'version')::int "
        "FROM documents d JOIN tenants t ON t.id = d.tenant_id"
    )
    assert len(rows) > EACH
    for document_id, bucket, home, key, version in rows:
        assert bucket == home != room.shared
        found = root.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert found.split(b"\n")[:2] == body(document_id, version).split(b"\n")[:2]
    verified = room.run("verify-all")
    assert verified.returncode == 0, verified.stdout
