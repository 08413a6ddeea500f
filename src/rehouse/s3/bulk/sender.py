"""The send loop of the bulk plane: sign, send, classify each reply by `faults.py`, and retry or not.

Due retries are sent first, then the caller's requests, as many as the shared slots and the limiter allow. A refusal or an
interruption stops the run only after every request in flight is answered.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rehouse.core.errors import RehouseError
from rehouse.core.model import Fault
from rehouse.core.pacing import delay_seconds
from rehouse.s3.bulk.clock_and_credentials import Identity
from rehouse.s3.bulk.replies import Reply, server_time
from rehouse.s3.bulk.requests import Request
from rehouse.s3.bulk.signing import sign
from rehouse.s3.bulk.slots import Claim, Slots
from rehouse.s3.bulk.throttle import Throttle
from rehouse.s3.bulk.transfers import Transfers
from rehouse.s3.faults import Verdict, refused_error, unavailable_error, verdict
from rehouse.s3.new_buckets import WAITING, NewBuckets

T = TypeVar("T")

ATTEMPTS = 8
ATTEMPTS_TO_REACH = 3
"""Attempts to reach an endpoint that never answered; few, so that a wrong address is reported soon."""
LONGEST_WAIT_SECONDS = 0.25
"""The longest wait before the loop checks for an interruption."""
OVERLOAD = (429, 503)


@dataclass(slots=True, eq=False)
class Answer(Generic[T]):
    """The outcome of a request: the value that was read, or the fault.

    `passing`: the fault may be temporary. `is_marked`: the object has a delete marker.
    """

    request: Request[T]
    value: T | None
    fault: Fault | None
    passing: bool = False
    is_marked: bool = False


class NotInTime(Exception):
    """The answers did not come in the given time.

    `is_slow`: all requests had been sent. `is_refused`: a request would have to be sent again. Neither: the limiter held some back.
    """

    def __init__(self, *, is_slow: bool = False, is_refused: bool = False) -> None:
        super().__init__(
            "slow to arrive" if is_slow else "to be sent again" if is_refused else "held back by the limiter"
        )
        self.is_slow, self.is_refused = is_slow, is_refused


class Conditions:
    """What all senders of a plane share: identity, limiter, slots, randomness, and what is known of the endpoint."""

    def __init__(
        self,
        identity: Identity,
        throttle: Throttle,
        slots: Slots,
        random: Callable[[], float],
        *,
        new_buckets: NewBuckets,
    ) -> None:
        self.identity = identity
        self.throttle = throttle
        self.slots = slots
        self.random = random
        self.new_buckets = new_buckets
        self.is_interrupted = False
        self.answered = False


class Sender(Generic[T]):
    """One run of requests over one set of transfers, at most `most` at once.

    While the caller or its source of requests is busy, the thread of another sender may collect replies. So every access to the
    transfers holds the claim's lock.
    """

    def __init__(
        self,
        shared: Conditions,
        transfers: Transfers,
        most: int,
        instead: Callable[[Request[T], Fault], Request[T] | None] | None = None,
        until: float | None = None,
    ) -> None:
        self._until = until
        self._is_to_be_asked_again = False
        self._shared = shared
        self._transfers = transfers
        self._slots = shared.slots
        self._claim = Claim(most, self._reclaim_slots)
        self._instead = instead
        self._retries: list[tuple[float, int, Request[T]]] = []
        self._order = itertools.count()
        self._stopped: RehouseError | None = None
        self._home: list[tuple[Request[Any], Reply]] = []
        self._unsettled = 0
        self._unbegun = 0
        self._lacks_slots = False

    def run(self, requests: Iterable[Request[T]]) -> Iterator[Answer[T]]:
        """Yield an Answer for each request, in any order.

        Raises StorageRefused or StorageUnavailable if the run cannot continue, after every request in flight is answered. An
        interruption ends the generator early in the same way. With `until`, a time of the monotonic clock, it raises NotInTime at
        that time, or as soon as a request would have to be sent again. It then abandons the requests in flight.
        """
        source = iter(requests)
        more = True
        self._slots.join(self._claim)
        try:
            while True:
                stopping = self._stopped is not None or self._shared.is_interrupted
                if not stopping:
                    more = self._fill(source, more)
                    stopping = self._stopped is not None
                if not self._unsettled and (stopping or not (more or self._retries)):
                    break
                yield from self._settle(self._replies(more))
                if self._until is not None and not stopping:
                    self._stop_if_late(is_all_sent=not (more or self._retries))
        finally:
            self._slots.leave(self._claim)
        if self._stopped is not None:
            raise self._stopped

    def _stop_if_late(self, *, is_all_sent: bool) -> None:
        if self._is_to_be_asked_again:
            raise NotInTime(is_refused=True)
        is_over = is_all_sent and not self._unsettled
        if not is_over and self._until is not None and time.monotonic() >= self._until:
            raise NotInTime(is_slow=is_all_sent)

    def _limit_to_deadline(self, seconds: float) -> float:
        return seconds if self._until is None else min(seconds, max(0.0, self._until - time.monotonic()))

    def _fill(self, source: Iterator[Request[T]], more: bool) -> bool:
        self._lacks_slots = False
        room = self._claim.most - self._unsettled
        if room <= 0 or not (more or self._is_retry_due()):
            return more
        slots = self._slots.take(self._claim, room)
        granted = self._shared.throttle.take(slots)
        with self._claim.lock:
            self._unbegun = slots
        before = self._unsettled
        for _ in range(granted):
            request = heapq.heappop(self._retries)[2] if self._is_retry_due() else next(source, None) if more else None
            if request is None:
                more = False
                break
            if not self._send(request):
                break
        sent = self._unsettled - before
        self._shared.throttle.give_back(granted - sent)
        self._lacks_slots = slots < room and sent == slots
        with self._claim.lock:
            self._give_up_unbegun()
        return more

    def _is_retry_due(self) -> bool:
        return bool(self._retries) and self._retries[0][0] <= time.monotonic()

    def _wait_seconds(self, more: bool) -> float:
        patience = self._limit_to_deadline(LONGEST_WAIT_SECONDS)
        if self._unsettled < self._claim.most and not self._lacks_slots:
            is_due = self._is_retry_due()
            if self._retries and not is_due:
                patience = min(patience, max(0.0, self._retries[0][0] - time.monotonic()))
            if more or is_due:
                patience = min(patience, self._shared.throttle.wait_seconds())
        return patience

    def _send(self, request: Request[T]) -> bool:
        """Send the request.

        Return False if it could not be signed or if its slot was reclaimed.
        """
        identity, endpoint = self._shared.identity, request.endpoint
        try:
            lines = sign(
                request.method, endpoint.host, request.path, request.query, request.headers,
                credentials=identity.credentials(), region=endpoint.region, service=endpoint.service, now=identity.now(),
            )  # fmt: skip
        except RehouseError as error:
            self._stopped = self._stopped or error
            return False
        with self._claim.lock:
            if not self._unbegun:
                self._send_again(request, 0.0)
                return False
            self._unbegun -= 1
            self._transfers.start(request, lines)
        self._unsettled += 1
        request.attempts += 1
        self._shared.throttle.count(request.kind)
        return True

    def _replies(self, more: bool) -> list[tuple[Request[Any], Reply]]:
        if self._lacks_slots and not self._unsettled:
            self._slots.wait(self._claim, self._limit_to_deadline(LONGEST_WAIT_SECONDS))
            return []
        patience = self._wait_seconds(more)
        with self._claim.lock:
            self._bring_home(patience)
            replies, self._home = self._home, []
        self._unsettled -= len(replies)
        return replies

    def _bring_home(self, seconds: float) -> None:
        found = self._transfers.take_finished(0.0 if self._home else seconds)
        if found:
            self._home += found
            self._slots.give_back(self._claim, len(found))

    def _reclaim_slots(self, seconds: float) -> None:
        """Give back slots while this sender is idle.

        Another sender calls this and holds this claim's lock.
        """
        if self._unbegun:
            self._give_up_unbegun()
            seconds = 0.0
        if self._transfers.in_flight:
            self._bring_home(seconds)

    def _give_up_unbegun(self) -> None:
        self._slots.give_back(self._claim, self._unbegun)
        self._unbegun = 0

    def _settle(self, replies: list[tuple[Request[Any], Reply]]) -> Iterator[Answer[T]]:
        good, overloaded, answers = 0, False, []
        for request, reply in replies:
            value = request.read(reply) if not reply.errno and 200 <= reply.status < 300 else None
            if value is not None:
                good += 1
                is_fault = isinstance(value, Fault)  # complete but unusable: a retry would get the same
                answers.append(Answer(request, None, value) if is_fault else Answer(request, value, None))
            else:
                is_overload = reply.status in OVERLOAD or b"<Code>SlowDown<" in reply.body
                overloaded = overloaded or is_overload
                good += not (reply.errno or is_overload or reply.status >= 500)  # a refused request was served, too
                answer = self._judge(request, reply)
                if answer is not None:
                    answers.append(answer)
        if good:
            self._shared.answered = True
        if replies:
            self._shared.throttle.learn(good, overloaded=overloaded)
        yield from answers

    def _judge(self, request: Request[T], reply: Reply) -> Answer[T] | None:
        """Return the answer if it is final.

        Else send the request again or stop the run, and return None.
        """
        fault = reply.fault()
        decision = verdict(fault.code, reply.status, reply.errno)
        self._shared.answered = self._shared.answered or not reply.errno
        replacement = self._instead(request, fault) if self._instead else None
        if replacement is not None:
            self._send_again(replacement, 0.0)
            return None
        if decision is Verdict.REFUSE and self._waits_for_new_bucket(request, fault):
            return None
        if not request.refreshed and (
            decision is Verdict.REFRESH or self._shared.identity.may_be_why(request.method, reply)
        ):
            self._refresh(request, reply)
            return None
        if decision is Verdict.RETRY and request.attempts - request.waits < self._most_attempts(fault):
            self._send_again(request, delay_seconds(request.attempts, self._shared.random(), reply.retry_after()))
            return None
        return self._end(request, reply, fault, decision)

    def _waits_for_new_bucket(self, request: Request[T], fault: Fault) -> bool:
        seconds = self._shared.new_buckets.delay_seconds(fault.code, request.buckets, request.waits)
        if seconds is None:
            return False
        request.waits += 1
        self._shared.new_buckets.tell(request.endpoint.bucket, WAITING[fault.code])
        self._send_again(request, seconds)
        return True

    def _end(self, request: Request[T], reply: Reply, fault: Fault, decision: Verdict) -> Answer[T] | None:
        if decision is Verdict.RETRY and fault.code == "Unreachable":
            error = unavailable_error if self._shared.answered else refused_error
            self._stopped = self._stopped or error(fault.code, fault.message, request.endpoint.name)
        elif decision in {Verdict.REFUSE, Verdict.REFRESH}:
            stop = refused_error(fault.code, fault.message, request.subject, region=reply.region())
            self._stopped = self._stopped or stop
        else:
            return Answer(request, None, fault, decision is Verdict.RETRY, reply.is_marked())
        return None

    def _refresh(self, request: Request[T], reply: Reply) -> None:
        request.refreshed = True
        if self._until is not None:
            self._send_again(request, 0.0)
            return
        self._shared.identity.learn(server_time(reply.headers()))
        try:
            self._shared.identity.renew()
        except RehouseError as error:
            self._stopped = self._stopped or error
        self._send_again(request, 0.0)

    def _send_again(self, request: Request[T], seconds: float) -> None:
        self._is_to_be_asked_again = self._is_to_be_asked_again or request.attempts > 0
        heapq.heappush(self._retries, (time.monotonic() + seconds, next(self._order), request))

    def _most_attempts(self, fault: Fault) -> int:
        return ATTEMPTS_TO_REACH if fault.code == "Unreachable" and not self._shared.answered else ATTEMPTS
