"""What is tried again, what is final, and what stops a run: against scripted replies."""

import itertools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.s3_stub import COPIED, Scripted, error, script, serving

from rehouse.core.errors import Interrupted, StorageRefused, StorageUnavailable
from rehouse.core.model import ObjectRef
from rehouse.s3.bulk.transfers import LARGEST_REPLY_BYTES


@pytest.mark.parametrize(
    "failure",
    [
        Scripted(503, error("SlowDown")),
        Scripted(503, b""),
        Scripted(500, error("InternalError")),
        Scripted(502, b"<html>bad gateway</html>"),
        Scripted(504, b""),
        Scripted(429, b""),
        Scripted(409, error("OperationAborted")),
        Scripted(400, error("RequestTimeout")),
        Scripted(200, error("InternalError")),
        Scripted(200, b"   \n  " + error("SlowDown")),
        Scripted(200, b""),
        Scripted(200, COPIED[:-30]),
        Scripted(200, COPIED, announced=len(COPIED) + 50),
        Scripted(200, COPIED.replace(b"&quot;0123abcd&quot;", b"")),
        Scripted(reset=True),
    ],
    ids=lambda failure: f"{failure.status}-{failure.body[:28]!r}{'-reset' if failure.reset else ''}",
)
def test_a_passing_failure_is_tried_again(stub_plane, task, failure):
    with script(failure, Scripted()) as stub:
        plane = stub_plane(stub.url)
        (outcome,) = plane.copy([task()])
        assert (outcome.etag, outcome.fault) == ("0123abcd", None)
        assert len(stub.seen) >= 2
        assert plane.requests["copy"] == outcome.attempts


def test_each_attempt_is_the_same_request(stub_plane, task):
    with script(Scripted(500, b""), Scripted(500, b""), Scripted()) as stub:
        (outcome,) = stub_plane(stub.url).copy([task()])
        changing = {"authorization", "x-amz-date"}
        first, *others = [{k: v for k, v in seen.headers.items() if k not in changing} for seen in stub.seen]
        assert outcome.attempts == 3
        assert others == [first, first]


def test_an_object_that_keeps_failing_stops_no_other(stub_plane, task):
    with serving(
        lambda seen: Scripted(500, error("InternalError")) if seen.path.endswith("/7") else Scripted()
    ) as stub:
        outcomes = list(stub_plane(stub.url).copy(task(n) for n in range(20)))
    failed = [outcome for outcome in outcomes if outcome.fault]
    assert len(outcomes) == 20
    assert [(o.task.document_id, o.fault.code, o.fault.request_id) for o in failed] == [("7", "InternalError", "R1")]
    assert failed[0].attempts == 8


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (404, "NoSuchKey"),
        (403, "InvalidObjectState"),
        (412, "PreconditionFailed"),
        (400, "KeyTooLongError"),
    ],
)
def test_a_fact_about_an_object_is_told_at_once(stub_plane, task, status, code):
    with script(Scripted(status, error(code, "S3 says why"))) as stub:
        (outcome,) = stub_plane(stub.url).copy([task()])
        assert (outcome.fault.code, outcome.fault.message, outcome.fault.request_id) == (code, "S3 says why", "R1")
        assert len(stub.seen) == 1


def test_a_failed_condition_says_which_one(stub_plane, task):
    with script(Scripted(412, error("PreconditionFailed", "A condition failed", Condition="If-None-Match"))) as stub:
        (outcome,) = stub_plane(stub.url).copy([task()])
    assert outcome.fault.message == "A condition failed (If-None-Match)"


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (404, "NoSuchBucket"), (400, "InvalidToken")],
)
def test_a_stop_is_raised_after_what_is_in_flight(stub_plane, task, status, code):
    with serving(lambda seen: Scripted(status, error(code)) if seen.path.endswith("/2") else Scripted()) as stub:
        outcomes = []
        with pytest.raises(StorageRefused) as refusal:
            outcomes.extend(stub_plane(stub.url).copy(task(n) for n in range(100_000)))
    assert refusal.value.code == code
    assert refusal.value.hint
    assert "documents/2" in refusal.value.message


def test_outcomes_in_flight_come_before_the_refusal(stub_plane, task):
    with serving(
        lambda seen: Scripted(403, error("InvalidAccessKeyId")) if seen.path.endswith("/0") else Scripted()
    ) as stub:
        run = stub_plane(stub.url, in_flight=8).copy(task(n) for n in range(8))
        outcomes = []
        with pytest.raises(StorageRefused):
            for outcome in run:
                outcomes.append(outcome)
    assert {outcome.task.document_id for outcome in outcomes} == {str(n) for n in range(1, 8)}


def test_an_expired_token_is_renewed_once_and_then_refused(stub_plane, task):
    with script(Scripted(400, error("ExpiredToken")), Scripted()) as stub:
        (outcome,) = stub_plane(stub.url).copy([task()])
        assert outcome.attempts == 2
    with script(Scripted(400, error("ExpiredToken"))) as stub:
        with pytest.raises(StorageRefused) as refusal:
            list(stub_plane(stub.url).copy([task()]))
        assert (refusal.value.code, len(stub.seen)) == ("ExpiredToken", 2)


def test_a_skewed_clock_is_corrected_by_the_servers(stub_plane, task):
    late = {"Date": "Thu, 01 Feb 2001 12:00:00 GMT"}  # never now
    with serving(
        lambda seen: (
            Scripted()
            if seen.headers["x-amz-date"].startswith("20010201T1200")
            else Scripted(403, error("RequestTimeTooSkewed"), late)
        )
    ) as stub:
        stub.server.RequestHandlerClass.date_time_string = lambda *_: late["Date"]
        (outcome,) = stub_plane(stub.url).copy([task()])
    assert (outcome.fault, outcome.attempts) == (None, 2)


FOUND = {"ETag": '"aa"', "Content-Length": "3", "Last-Modified": "Sun, 01 Nov 2026 12:30:00 GMT"}


@pytest.mark.parametrize("size", [64 * 1024**2 + 1, 5 * 1024**4])
def test_a_head_tells_of_an_object_of_any_size(stub_plane, size):
    with script(Scripted(200, b"", {**FOUND, "Content-Length": str(size)})) as stub:
        (head,) = stub_plane(stub.url).head([ObjectRef("home", "k")])
        assert (head.fault, head.object.size) == (None, size)
        assert len(stub.seen) == 1


def test_a_reply_that_never_ends_is_cut_off(stub_plane):
    endless = Scripted(200, b"<ListBucketResult>", announced=LARGEST_REPLY_BYTES + 1)
    with script(endless) as stub, pytest.raises(StorageRefused, match="Maximum file size"):
        list(stub_plane(stub.url).list("home"))


def test_a_bare_403_is_asked_again_with_fresh_credentials(stub_plane):
    with script(Scripted(400, b""), Scripted(200, b"", FOUND)) as stub:
        plane = stub_plane(stub.url)
        (head,) = plane.head([ObjectRef("home", "k")])
        assert (head.object.etag, head.object.size) == ("aa", 3)
        assert plane.requests == {"head": 2}


def test_a_head_that_stays_bare_asks_the_bucket(stub_plane):
    def answer(seen):
        return Scripted(400, b"") if seen.method == "HEAD" else Scripted(400, error("ExpiredToken"))

    with serving(answer) as stub, pytest.raises(StorageRefused) as refusal:
        list(stub_plane(stub.url).head([ObjectRef("home", "k")]))
    assert refusal.value.code == "ExpiredToken"


def test_nothing_is_missing_while_its_bucket_cannot_be_asked(stub_plane):
    def answer(seen):
        return Scripted(404, b"") if seen.method == "HEAD" else Scripted(503, error("SlowDown"))

    with serving(answer) as stub, pytest.raises(StorageUnavailable):
        list(stub_plane(stub.url).head([ObjectRef("home", "k")]))


def test_a_signal_in_the_middle_of_the_loop_loses_nothing(stub_plane, task):
    with script(Scripted()) as stub:
        plane = stub_plane(stub.url, in_flight=32)
        before = signal.signal(signal.SIGINT, lambda *_: plane.interrupt())
        try:
            outcomes = []
            for outcome in plane.copy(task(n) for n in range(100_000)):
                outcomes.append(outcome)
                if len(outcomes) == 50:
                    os.kill(os.getpid(), signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)
        assert 50 <= len(outcomes) == len(stub.seen) < 100_000
        assert all(outcome.fault is None for outcome in outcomes)


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_names_the_right_region_and_is_not_followed(stub_plane, task, status):
    with script(Scripted(200, COPIED)) as elsewhere:
        headers = {"Location": elsewhere.url + "/home/x", "x-amz-bucket-region": "eu-west-1"}
        with script(Scripted(status, error("PermanentRedirect"), headers)) as stub:
            with pytest.raises(StorageRefused) as refusal:
                list(stub_plane(stub.url).copy([task()]))
            assert "AWS_REGION=eu-west-1" in refusal.value.hint
            assert elsewhere.seen == []


def test_a_wrong_region_in_the_signature_names_the_right_one(stub_plane, task):
    malformed = Scripted(400, error("AuthorizationHeaderMalformed", Region="eu-west-2"))
    with script(malformed) as stub, pytest.raises(StorageRefused) as refusal:
        list(stub_plane(stub.url).copy([task()]))
    assert "AWS_REGION=eu-west-2" in refusal.value.hint


def test_an_endpoint_that_was_never_reached_is_refused(stub_plane, task):
    with script(Scripted()) as stub:
        url = stub.url
    plane = stub_plane(url)
    with pytest.raises(StorageRefused) as refusal:
        list(plane.copy([task()]))
    assert refusal.value.code == "Unreachable"
    assert url in refusal.value.message
    assert plane.requests["copy"] == 3


def test_an_endpoint_that_went_away_may_come_back(stub_plane, task):
    with script(Scripted(headers={"Connection": "close"})) as stub:
        plane = stub_plane(stub.url)
        assert len(list(plane.copy([task()]))) == 1
    with pytest.raises(StorageUnavailable):
        list(plane.copy([task()]))


def test_retry_after_is_waited_for(stub_plane, task, monkeypatch):
    asked = []
    from rehouse.s3.bulk import sender

    original = sender.delay_seconds
    monkeypatch.setattr(sender, "delay_seconds", lambda *given: asked.append(given[2]) or original(given[0], given[1]))
    with script(Scripted(503, error("SlowDown"), {"Retry-After": "7"}), Scripted()) as stub:
        list(stub_plane(stub.url).copy([task()]))
    assert asked == [7.0]


@pytest.mark.parametrize("status", [503, 200])
def test_an_overload_slows_the_plane_down(stub_plane, task, status):
    with script(Scripted(status, error("SlowDown")), Scripted()) as stub:
        plane = stub_plane(stub.url)
        before = plane._exchange.throttle._pace.rate
        list(plane.copy([task()]))
        assert plane._exchange.throttle._pace.rate < before


def test_answers_that_are_final_lift_the_rate_as_others_do(stub_plane):
    """A tenant of 100,000 missing objects is looked at as fast as any other."""

    def answer(seen):
        return Scripted(404, b"") if seen.method == "HEAD" else Scripted(200, b"<LocationConstraint/>")

    with serving(answer) as stub:
        plane = stub_plane(stub.url, in_flight=16)
        before = plane._exchange.throttle._pace.rate
        assert [head.fault or head.object for head in plane.head(ObjectRef("home", f"k/{n}") for n in range(300))] == (
            [None] * 300
        )
        assert plane._exchange.throttle._pace.rate > 2 * before


def test_an_interruption_brings_home_what_is_in_flight(stub_plane, task):
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield task(number)

    with script(Scripted()) as stub:
        plane = stub_plane(stub.url)
        outcomes = []
        for outcome in plane.copy(tasks()):
            outcomes.append(outcome)
            plane.interrupt()
        assert len(outcomes) == len(stub.seen) == len(taken) < 1000
        with pytest.raises(Interrupted):
            list(plane.list("home"))
        with pytest.raises(Interrupted):
            list(plane.head([ObjectRef("home", "x")]))


def test_tasks_are_taken_only_as_they_can_be_sent(stub_plane, task):
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield task(number)

    with script(Scripted()) as stub:
        run = stub_plane(stub.url, in_flight=4).copy(tasks())
        next(run)
        assert len(taken) <= 8
        run.close()


def test_secrets_are_in_no_error(stub_plane, task):
    reply = Scripted(403, error("SignatureDoesNotMatch", AWSAccessKeyId="AKIDSTUB", StringToSign="AWS4"))
    with script(reply) as stub, pytest.raises(StorageRefused) as refusal:
        list(stub_plane(stub.url).copy([task()]))
    assert "secret-of-the-stub" not in repr(refusal.value) + refusal.value.hint


class Crowd:
    """Answers 200 to everything, and remembers how many requests were open at the most.

    The first `awaited` requests are answered when so many are open, and a moment later, so that one too many is seen.
    """

    def __init__(self, awaited=0):
        self.awaited, self.open, self.most = awaited, 0, 0
        self._changed = threading.Condition()

    def __call__(self, seen):
        with self._changed:
            self.open += 1
            self.most = max(self.most, self.open)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.awaited, 30)
        time.sleep(0.005)
        with self._changed:
            self.open -= 1
        return Scripted(200, b"", FOUND) if seen.method == "HEAD" else Scripted()


@pytest.mark.parametrize(("threads", "in_flight"), [(2, 6), (3, 2), (8, 3), (1, 5)])
def test_all_generators_of_a_plane_share_the_ceiling(stub_plane, task, threads, in_flight):
    crowd = Crowd(in_flight)
    with serving(crowd) as stub, ThreadPoolExecutor(threads) as pool:
        plane = stub_plane(stub.url, in_flight=in_flight)
        together = threading.Barrier(threads)

        def copy(thread):
            together.wait()
            return [outcome.fault for outcome in plane.copy(task(thread * 1000 + n) for n in range(60))]

        assert list(pool.map(copy, range(threads))) == [[None] * 60] * threads
    assert crowd.most == in_flight
    assert plane.requests == {"copy": 60 * threads}


@pytest.mark.parametrize("in_flight", [1, 2, 7])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same thread", "another thread"])
def test_tasks_waiting_for_their_own_plane_come_to_an_end(stub_plane, task, in_flight, elsewhere):
    crowd = Crowd()
    with serving(crowd) as stub, ThreadPoolExecutor(1) as pool:
        plane = stub_plane(stub.url, in_flight=in_flight)

        def looked_at(numbers):
            return len(list(plane.head(ObjectRef("home", str(number)) for number in numbers)))

        def tasks():
            for page in (range(first, first + 10) for first in range(0, 40, 10)):
                found = pool.submit(looked_at, page).result() if elsewhere else looked_at(page)
                assert found == 10
                yield from (task(number) for number in page)

        assert [outcome.fault for outcome in plane.copy(tasks())] == [None] * 40
    assert crowd.most <= in_flight


@pytest.mark.parametrize("in_flight", [1, 3])
def test_generators_taken_in_turn_by_one_thread_come_to_an_end(stub_plane, task, in_flight):
    crowd = Crowd()
    with serving(crowd) as stub:
        plane = stub_plane(stub.url, in_flight=in_flight)
        runs = [plane.copy(task(n * 100 + number) for number in range(15)) for n in range(4)]
        assert sum(1 for outcomes in zip(*runs, strict=True) for each in outcomes if not each.fault) == 60
    assert crowd.most <= in_flight


def test_a_generator_that_is_left_gives_its_slots_back(stub_plane, task):
    with script(Scripted()) as stub:
        plane = stub_plane(stub.url, in_flight=2)
        left = plane.copy(task(number) for number in range(100))
        next(left)
        left.close()
        assert len(list(plane.copy(task(number) for number in range(20)))) == 20


def test_nothing_is_lost_where_slots_are_few_and_replies_fail(stub_plane, task):
    failing = itertools.cycle([Scripted(503, error("SlowDown")), Scripted(), Scripted(), Scripted(reset=True)])
    with serving(lambda _: next(failing)) as stub, ThreadPoolExecutor(4) as pool:
        plane = stub_plane(stub.url, in_flight=3)
        found = list(pool.map(lambda n: [o.task.document_id for o in plane.copy([task(n), task(n + 100)])], range(20)))
    assert [sorted(each) for each in found] == [sorted([str(n), str(n + 100)]) for n in range(20)]


def test_no_more_connections_are_kept_than_may_ever_be_in_use(stub_plane, task):
    with serving(Crowd()) as stub:
        plane = stub_plane(stub.url, in_flight=20)
        runs = [plane.copy(task(n * 100 + number) for number in range(45)) for n in range(4)]
        for run in (*runs, *runs):  # each has all the slots for a while, for the others only wait to be asked
            for _ in range(20):
                next(run)
        for run in runs:
            assert len(list(run)) == 5
        kept = [each.most_connections for each in plane._exchange._idle]
        assert 0 < sum(kept) <= 28
