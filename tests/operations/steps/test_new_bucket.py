"""A migration right after its buckets were made, while some of S3's servers do not know them yet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import Reply, Request
from tests.support.strict_relay import StrictRelay

from rehouse.core.lifecycle import Phase

REFUSALS = 5


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many attempts as ever, with nearly nothing between them."""
    monkeypatch.setattr("rehouse.s3.new_buckets.DELAYS_SECONDS", (0.01,) * (REFUSALS + 1))
    monkeypatch.setattr("rehouse.operations.steps.provision.READ_BACK_DELAYS_SECONDS", (0.01,) * (REFUSALS + 1))


def of_the_home(operation: str) -> Callable[[Request], bool]:
    """Return whether a request is this operation, on a tenant's home."""
    return lambda request: request.operation == operation and "-acme-" in request.bucket


@pytest.mark.parametrize(
    ("operation", "status", "code"),
    [
        ("ListObjectsV2", 404, "NoSuchBucket"),
        ("CopyObject", 404, "NoSuchBucket"),
        ("PUT policy", 404, "NoSuchBucket"),
        ("PUT logging", 400, "InvalidTargetBucketForLogging"),
        ("PUT bucket", 409, "OperationAborted"),
        ("PUT versioning", 409, "OperationAborted"),
        ("GET lifecycle", 404, "NoSuchLifecycleConfiguration"),
        ("GET versioning", 404, "NoSuchBucket"),
    ],
)
def test_the_run_waits_and_ends_well(room: Room, strict: StrictRelay, operation: str, status: int, code: str) -> None:
    room.documents("a")
    left = [refusal(status, code)] * REFUSALS
    fits = of_the_home(operation)

    def late(request: Request) -> Reply | None:
        return left.pop()(request) if left and fits(request) else None

    strict.meanwhile = late
    report = room.migrate()
    assert report.error is None
    assert report.phase is Phase.CUT_OVER
    assert left == []
    assert room.pointer("a")[0] == room.home()


def test_a_home_of_a_run_that_was_killed_is_waited_for_as_well(room: Room, strict: StrictRelay) -> None:
    room.documents("a")
    room.migrate(until=Phase.PLANNED)
    room.root.create_bucket(Bucket=room.home())  # what the killed run did last
    left = [refusal(404, "NoSuchBucket")] * REFUSALS

    def late(request: Request) -> Reply | None:
        return left.pop()(request) if left and of_the_home("GET publicAccessBlock")(request) else None

    strict.meanwhile = late
    assert room.migrate().phase is Phase.CUT_OVER
    assert left == []
