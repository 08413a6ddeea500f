"""The local engine: small objects and large ones, every task with one outcome."""

import os

import pytest

from rehouse.core.errors import StorageRefused
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.engine.local import LocalEngine
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.session import Session

MIB = 1024**2
LARGE = os.urandom(MIB) * 6


@pytest.fixture
def bulk(storage_settings):
    made = BulkPlane(Session(storage_settings), max_in_flight=16, max_rate=None)
    yield made
    made.close()


@pytest.fixture
def engine(storage_settings, bulk):
    client = Session(storage_settings).client("s3")
    return LocalEngine(bulk, client, multipart_threshold_bytes=5 * MIB, multipart_part_bytes=5 * MIB, owner=None)


@pytest.fixture
def tasks(s3_server, bucket):
    """Thirty small objects and two large ones, all to be copied within one bucket."""
    root = s3_server.root()

    def task(name, body):
        etag = root.put_object(Bucket=bucket, Key=name, Body=body)["ETag"].strip('"')
        return CopyTask(name, ObjectRef(bucket, name), etag, len(body), "STANDARD", ObjectRef(bucket, f"t/{name}"))

    small = [task(f"s{number}", b"x" * number) for number in range(30)]
    return [task("l1", LARGE), *small, task("l2", LARGE[::-1])]


def test_every_task_has_one_outcome_small_or_large(engine, bulk, s3_server, bucket, tasks):
    outcomes = list(engine.copy(tasks))
    assert sorted(outcome.task.document_id for outcome in outcomes) == sorted(task.document_id for task in tasks)
    assert [outcome.fault for outcome in outcomes] == [None] * len(tasks)
    assert bulk.requests["copy"] == 30
    root = s3_server.root()
    assert root.get_object(Bucket=bucket, Key="t/l1")["Body"].read() == LARGE
    assert root.head_object(Bucket=bucket, Key="t/l1")["ETag"].endswith('-2"')
    assert root.head_object(Bucket=bucket, Key="t/s29")["ContentLength"] == 29


def test_parts_begin_one_byte_above_the_threshold(engine, bulk, s3_server, bucket):
    root = s3_server.root()
    tasks = []
    for size in (5 * MIB, 5 * MIB + 1):
        etag = root.put_object(Bucket=bucket, Key=str(size), Body=bytes(size))["ETag"].strip('"')
        tasks.append(
            CopyTask(str(size), ObjectRef(bucket, str(size)), etag, size, "STANDARD", ObjectRef(bucket, f"t/{size}"))
        )
    outcomes = {outcome.task.size: outcome for outcome in engine.copy(tasks)}
    assert "-" not in outcomes[5 * MIB].etag
    assert outcomes[5 * MIB + 1].etag.endswith("-2")
    assert bulk.requests["copy"] == 1


def test_a_large_object_that_fails_is_data(engine, s3_server, bucket, tasks):
    s3_server.root().put_object(Bucket=bucket, Key="l1", Body=b"overwritten")
    failed = [outcome for outcome in engine.copy(tasks) if outcome.fault]
    assert [(outcome.task.document_id, outcome.fault.code) for outcome in failed] == [("l1", "PreconditionFailed")]


def test_an_interruption_leaves_no_multipart_upload(engine, bulk, s3_server, bucket, tasks):
    bulk.interrupt()
    assert list(engine.copy(tasks)) == []
    assert s3_server.root().list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_run_that_cannot_go_on_raises(engine, tasks):
    wrong = CopyTask("w", ObjectRef("no-such-bucket-here", "k"), "aa", 6 * MIB, "STANDARD", tasks[0].target)
    with pytest.raises(StorageRefused):
        list(engine.copy([*tasks, wrong]))


def test_no_tasks_no_requests(engine, bulk):
    assert list(engine.copy([])) == []
    assert not bulk.requests
