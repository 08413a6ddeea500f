"""A migration of 2,000 documents is killed ten times at random, then run once more: the same end as an undisturbed one."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support import independent_check
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay
from tests.support.sampling import LONG_SAMPLE

pytestmark = [*LONG_SAMPLE, pytest.mark.xdist_group("killed")]

SLUGS = ("north", "east", "south", "west")
DOCUMENTS = 2000
KILLS = 10
SEED = 20261123


@pytest.fixture(scope="module")
def rooms(new_room) -> tuple[Room, Room]:
    """Two rooms with the same rows over the same shared bucket; their homes have different prefixes."""
    one = new_room("integer")
    other = new_room("integer", shared=one.shared)
    root = one.server.root()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: put(root, one.shared, number), range(DOCUMENTS)))
    for room in (one, other):
        for number, slug in enumerate(SLUGS, 1):
            room.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", number, slug, slug)
        room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size) "
            "SELECT 'd' || n, width_bucket(n, ARRAY[0, 1100, 1600, 1900]), n || '.txt', 'x', "
            "CASE WHEN n %% 3 > 0 THEN %s END, 'in/' || n, 0 "
            "FROM generate_series(0, %s) n",
            one.shared,
            DOCUMENTS - 1,
        )
    return one, other


def put(root: Any, bucket: str, number: int) -> None:
    """Upload one document."""
    root.put_object(
        Bucket=bucket,
        Key=f"in/{number}",
        Body=b"%d" % number * 3,
        ContentType="text/plain",
        Metadata={"n": str(number)},
    )


@pytest.fixture(scope="module")
def kills(rooms, s3_server) -> list[int]:
    """Kill the first room's migration ten times; return the documents at home after each.

    A moment is a number of requests sent, and a little more: it is as random as a time, and as early on every machine.
    """
    room, chance = rooms[0], random.Random(SEED)
    progress = []
    with HttpRelay(s3_server.port) as relay:
        for _ in range(KILLS):
            moment, more_seconds = chance.randint(1, 480), chance.uniform(0, 0.05)
            relay.forget()
            process = room.start(
                "migrate-all", "--parallel", "2", REHOUSE_BATCH_SIZE="60", AWS_ENDPOINT_URL_S3=relay.url
            )
            while len(relay.seen) < moment and process.poll() is None:
                time.sleep(0.002)
            time.sleep(more_seconds)
            process.kill()
            _, errors = process.communicate()
            print(f"killed after {moment} requests and {more_seconds:.3f} s (seed {SEED})")
            assert process.returncode == -9, errors
            progress.append(
                room.rows("SELECT count(*) FROM documents WHERE s3_bucket LIKE %s", f"{room.prefix}-%")[0][0]
            )
    print("documents at home after each:", progress)
    return progress


def end_of(room: Room) -> dict[str, Any]:
    """Run it to its end and return where everything is, with homes named by their tenants."""
    done = room.run("migrate-all")
    assert done.returncode == 0, done.stdout + done.stderr
    slugs = dict(room.rows("SELECT aws_bucket_name, slug FROM tenants"))
    rows = room.rows("SELECT id, s3_bucket, s3_key, etag, file_size FROM documents")
    ledger = "SELECT document_id, target_bucket, target_key, source_etag, target_etag, source_size, state "
    ledger += "FROM s3_migration_documents"
    tenants = "SELECT tenant_id, status, phase, documents_migrated, bytes_copied FROM s3_migrations ORDER BY tenant_id"
    return {
        "rows": {row[0]: (slugs[row[1]], *row[2:]) for row in rows},
        "objects": {(slug, key): each for home, slug in slugs.items() for key, each in contents(room, home).items()},
        "shared": independent_check.versions_of(room.server.root(), room.shared),
        "ledger": {row[0]: (slugs[row[1]], *row[2:]) for row in room.rows(ledger)},
        "tenants": room.rows(tenants),
    }


def contents(room: Room, bucket: str) -> dict[str, tuple[Any, ...]]:
    """Return key → what a GET says that belongs to the document."""
    client = room.server.root()
    keys = [key for key, *_ in independent_check.versions_of(client, bucket)]

    def get(key: str) -> tuple[Any, ...]:
        found = client.get_object(Bucket=bucket, Key=key)
        return found["Body"].read(), found["ETag"], found["ContentType"], found["Metadata"]

    with ThreadPoolExecutor(8) as threads:
        return dict(zip(keys, threads.map(get, keys), strict=True))


@pytest.fixture(scope="module")
def ends(rooms, kills) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both rooms after a run that nobody kills."""
    return end_of(rooms[0]), end_of(rooms[1])


def test_killed_ten_times_it_ends_as_if_undisturbed(ends, kills) -> None:
    disturbed, undisturbed = ends
    assert len(undisturbed["rows"]) == len(undisturbed["objects"]) == DOCUMENTS
    for what in undisturbed:
        assert disturbed[what] == undisturbed[what], what
    assert 0 < kills[-1] < DOCUMENTS, "the last kill hit a migration that was under way, some tenants behind it"


def test_no_tenant_has_a_second_bucket(rooms, ends) -> None:
    names = [each["Name"] for each in rooms[0].server.root().list_buckets()["Buckets"]]
    assert len([name for name in names if name.startswith(f"{rooms[0].prefix}-")]) == len(SLUGS)
    assert rooms[0].rows("SELECT count(*) FROM s3_inventory") == [(0,)]
