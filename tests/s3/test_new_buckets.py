"""What the first answers about a new bucket mean, on both planes; the waiting is counted, never timed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.support.s3_stub import COPIED, Scripted, Seen, error, serving

from rehouse.config import Settings
from rehouse.core.errors import Interrupted, StorageRefused
from rehouse.s3.buckets.control import Control
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.new_buckets import NEW_SECONDS, NewBuckets
from rehouse.s3.session import Session

PAGE = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
IDENTITY = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>000000000000</Account></GetCallerIdentityResult>"
    b"</GetCallerIdentityResponse>"
)
LOGGING = {"TargetBucket": "logs", "TargetPrefix": "home/"}


@pytest.fixture(autouse=True)
def stub_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that only a scripted server takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")


class Late:
    """A server that does not know a bucket at first: the first `refusals` requests that fit get the code."""

    def __init__(self, fits: Callable[[Seen], bool], status: int, code: str, refusals: int) -> None:
        self.fits, self.status, self.code, self.left = fits, status, code, refusals
        self.asked = 0

    def __call__(self, seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(200, IDENTITY)
        if self.fits(seen):
            self.asked += 1
            if self.asked <= self.left:
                return Scripted(self.status, error(self.code))
        if "x-amz-copy-source" in seen.headers:
            return Scripted(200, COPIED)
        return Scripted(200, PAGE if "list-type" in seen.path else b"")


def planes(url: str, new: NewBuckets) -> tuple[Control, BulkPlane]:
    session = Session(Settings(endpoint_url=url))
    control = Control(session, sleep=lambda seconds: None, new_buckets=new)
    return control, BulkPlane(session, max_in_flight=4, max_rate=None, new_buckets=new)


@pytest.mark.parametrize(
    ("code", "buckets", "waits", "again"),
    [
        ("NoSuchBucket", ["new"], 0, 0.1),
        ("NoSuchBucket", ["old", "new"], 1, 0.2),
        ("NoSuchBucket", ["expected"], 0, 0.1),
        ("InvalidTargetBucketForLogging", ["old", "new"], 0, 0.1),
        ("OperationAborted", ["old"], 0, 0.1),
        ("NoSuchBucket", ["old"], 0, None),
        ("NoSuchBucket", ["deleted"], 0, None),
        ("NoSuchBucket", [], 0, None),
        ("InvalidTargetBucketForLogging", ["old"], 0, None),
        ("NoSuchBucket", ["new"], 2, None),
        ("OperationAborted", ["new"], 2, None),
        ("AccessDenied", ["new"], 0, None),
    ],
)
def test_which_answers_are_waited_for(code: str, buckets: list[str], waits: int, again: float | None) -> None:
    new = NewBuckets(delays_seconds=(0.1, 0.2))
    new.add("new")
    new.expect("expected")
    new.add("deleted")
    new.forget("deleted")
    assert new.delay_seconds(code, buckets, waits) == again


def test_a_bucket_is_new_for_a_while_only() -> None:
    now = [1000.0]
    new = NewBuckets(clock=lambda: now[0])
    new.add("made")
    new.expect("found", age_seconds=NEW_SECONDS - 10)
    assert new.is_new("made")
    assert new.is_new("found")
    assert not new.is_made("found")
    now[0] += 20
    assert new.is_new("made")
    assert not new.is_new("found")
    now[0] += NEW_SECONDS
    assert not new.is_new("made")


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        ("HEAD", 404, ""),
        ("list_objects_v2", 404, "NoSuchBucket"),
        ("put_object", 404, "NoSuchBucket"),
        ("get_bucket_lifecycle_configuration", 404, "NoSuchBucket"),
        ("put_bucket_logging", 400, "InvalidTargetBucketForLogging"),
        ("create_bucket", 409, "OperationAborted"),
        ("listing", 404, "NoSuchBucket"),
        ("copy", 404, "NoSuchBucket"),
    ],
)
def test_every_call_of_both_planes_waits(what: str, status: int, code: str, task) -> None:
    told: list[str] = []
    new = NewBuckets(tell=lambda bucket, text: told.append(f"{bucket}: {text}"), delays_seconds=(0.01,) * 3)
    late = Late(lambda seen: "/home" in seen.path, status, code, 3)
    with serving(late) as stub:
        control, bulk = planes(stub.url, new)
        new.add("logs" if what == "put_bucket_logging" else "home")
        if what == "HEAD":
            assert control.head("home").whose == "ours"
        elif what == "listing":
            assert list(bulk.list("home")) == [[]]
        elif what == "copy":
            (outcome,) = bulk.copy([task()])
            assert outcome.etag
        else:
            arguments = {
                "put_object": {"Key": "k"},
                "put_bucket_logging": {"BucketLoggingStatus": {"LoggingEnabled": LOGGING}},
            }
            getattr(control.client, what)(Bucket="home", **arguments.get(what, {}))
    assert late.asked == 4
    assert len(told) == 3
    assert all("waiting for S3" in each for each in told)


@pytest.mark.parametrize("what", ["control", "bulk"])
def test_what_never_comes_is_told_as_s3_told_it(what: str) -> None:
    new = NewBuckets(delays_seconds=(0.01,) * 3)
    late = Late(lambda seen: True, 404, "NoSuchBucket", 99)
    with serving(late) as stub:
        control, bulk = planes(stub.url, new)
        control.identity()
        new.add("home")
        with pytest.raises(StorageRefused, match="NoSuchBucket"):
            if what == "control":
                control.read_setting("home", "versioning")
            else:
                list(bulk.list("home"))
    assert late.asked == 4


def test_a_wait_of_the_control_plane_can_be_interrupted() -> None:
    def stop(seconds: float) -> None:
        raise Interrupted("stopped", hint="again")

    new = NewBuckets()
    new.add("home")
    with serving(Late(lambda seen: True, 404, "NoSuchBucket", 99)) as stub:
        control = Control(Session(Settings(endpoint_url=stub.url)), sleep=stop, new_buckets=new)
        with pytest.raises(Interrupted):
            control.read_setting("home", "versioning")


def test_a_wait_of_the_bulk_plane_can_be_interrupted() -> None:
    late = Late(lambda seen: True, 404, "NoSuchBucket", 99)
    with serving(late) as stub:
        _, bulk = planes(stub.url, new := NewBuckets(tell=lambda *_: bulk.interrupt(), delays_seconds=(60.0,)))
        new.add("home")
        begun = time.monotonic()
        with pytest.raises(Interrupted):
            list(bulk.list("home"))
    assert late.asked == 1
    assert time.monotonic() - begun < 30  # of the minute that it would have waited


def test_a_bucket_of_this_run_is_ours_before_it_is_listed() -> None:
    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(405, error("MethodNotAllowed"))
        return Scripted(
            200, b"" if seen.path != "/" else b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"
        )

    with serving(answer) as stub:
        control, _ = planes(stub.url, NewBuckets())
        assert control.identity().account is None
        control.create("home")
        assert control.head("home").whose == "ours"
