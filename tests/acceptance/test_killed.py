"""A migration of 2,000 documents is killed ten times at random, then run once more: the same end as an undisturbed one."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support import independent_check
from tests.support.command import World
from tests.support.http_relay import HttpRelay
from tests.support.sampling import LONG_SAMPLE

pytestmark = [*LONG_SAMPLE, pytest.mark.xdist_group("killed")]

SLUGS = ("north", "east", "south", "west")
DOCUMENTS = 2000
KILLS = 10
SEED = 20261123


@pytest.fixture(scope="module")
def worlds(new_world) -> tuple[World, World]:
    """Two worlds with the same rows over the same shared bucket; their homes have different prefixes."""
    one = new_world("integer")
    other = new_world("integer", shared=one.shared)
    root = one.server.root()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: put(root, one.shared, number), range(DOCUMENTS)))
    for world in (one, other):
        for number, slug in enumerate(SLUGS, 1):
            world.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", number, slug, slug)
        world.execute(
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
def kills(worlds, s3_server) -> list[int]:
    """Kill the first world's migration ten times; return the documents at home after each.

    A moment is a number of requests sent, and a little more: it is as random as a time, and as early on every machine.
    """
    world, chance = worlds[0], random.Random(SEED)
    progress = []
    with HttpRelay(s3_server.port) as relay:
        for _ in range(KILLS):
            moment, more_seconds = chance.randint(1, 480), chance.uniform(0, 0.05)
            relay.forget()
            process = world.start(
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
                world.rows("SELECT count(*) FROM documents WHERE s3_bucket LIKE %s", f"{world.prefix}-%")[0][0]
            )
    print("documents at home after each:", progress)
    return progress


def end_of(world: World) -> dict[str, Any]:
    """Run it to its end and return where everything is, with homes named by their tenants."""
    done = world.run("migrate-all")
    assert done.returncode == 0, done.stdout + done.stderr
    slugs = dict(world.rows("SELECT aws_bucket_name, slug FROM tenants"))
    rows = world.rows("SELECT id, s3_bucket, s3_key, etag, file_size FROM documents")
    ledger = "SELECT document_id, target_bucket, target_key, source_etag, target_etag, source_size, state "
    ledger += "FROM s3_migration_documents"
    tenants = "SELECT tenant_id, status, phase, documents_migrated, bytes_copied FROM s3_migrations ORDER BY tenant_id"
    return {
        "rows": {row[0]: (slugs[row[1]], *row[2:]) for row in rows},
        "objects": {(slug, key): each for home, slug in slugs.items() for key, each in contents(world, home).items()},
        "shared": independent_check.versions_of(world.server.root(), world.shared),
        "ledger": {row[0]: (slugs[row[1]], *row[2:]) for row in world.rows(ledger)},
        "tenants": world.rows(tenants),
    }


def contents(world: World, bucket: str) -> dict[str, tuple[Any, ...]]:
    """Return key → what a GET says that belongs to the document."""
    client = world.server.root()
    keys = [key for key, *_ in independent_check.versions_of(client, bucket)]

    def get(key: str) -> tuple[Any, ...]:
        found = client.get_object(Bucket=bucket, Key=key)
        return found["Body"].read(), found["ETag"], found["ContentType"], found["Metadata"]

    with ThreadPoolExecutor(8) as threads:
        return dict(zip(keys, threads.map(get, keys), strict=True))


@pytest.fixture(scope="module")
def ends(worlds, kills) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both worlds after a run that nobody kills."""
    return end_of(worlds[0]), end_of(worlds[1])


def test_killed_ten_times_it_ends_as_if_undisturbed(ends, kills) -> None:
    disturbed, undisturbed = ends
    assert len(undisturbed["rows"]) == len(undisturbed["objects"]) == DOCUMENTS
    for what in undisturbed:
        assert disturbed[what] == undisturbed[what], what
    assert 0 < kills[-1] < DOCUMENTS, "the last kill hit a migration that was under way, some tenants behind it"


def test_no_tenant_has_a_second_bucket(worlds, ends) -> None:
    names = [each["Name"] for each in worlds[0].server.root().list_buckets()["Buckets"]]
    assert len([name for name in names if name.startswith(f"{worlds[0].prefix}-")]) == len(SLUGS)
    assert worlds[0].rows("SELECT count(*) FROM s3_inventory") == [(0,)]
