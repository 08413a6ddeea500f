"""Sends one request at a time, from any thread, and returns its answer or the body as it arrives.

A request borrows a line (`lines.py`), which no other request uses meanwhile. Failed requests are repeated as `s3/faults.py`
says. A child after a fork opens its own connections.
"""

from __future__ import annotations

import random as chance
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import pycurl

from rehouse.core.errors import NoSuchObject, PreconditionFailed, RehouseError
from rehouse.core.model import Fault
from rehouse.core.pacing import delay_seconds
from rehouse.s3.bulk.replies import Reply, server_time
from rehouse.s3.bulk.sender import ATTEMPTS_TO_REACH
from rehouse.s3.bulk.signing import sign
from rehouse.s3.faults import ABSENT, PRECONDITION_FAILED, Verdict, refused_error, unavailable_error, verdict
from rehouse.s3.objects.access import Access, PerProcess
from rehouse.s3.objects.lines import Call, Handle, Line, Lines

T = TypeVar("T")

ATTEMPTS = 5
STALLED_SECONDS = 60
"""How long S3 may send or take no byte of a body before the connection counts as lost."""
LONGEST_WAIT_SECONDS = 1.0
PASSING_ERRNO = 28
"""curl's number for a transfer that took too long."""


class Stream:
    """The body of a successful answer, as it arrives. `reply` holds status and headers."""

    def __init__(self, lines: Lines, line: Line, handle: Handle, call: Call[Any]) -> None:
        self._lines, self._line, self._handle, self._call = lines, line, handle, call
        self._is_open = True
        self.reply = Reply(0, "", handle.curl.getinfo(pycurl.RESPONSE_CODE), handle.lines.copy(), b"")

    def chunk(self) -> bytes:
        """Return the next bytes, none at the end.

        If the connection is lost, `reply` has the reason afterwards, and no bytes are returned.
        """
        if not self._is_open:
            return b""
        if not self._handle.chunks and not self._wait():
            return b""
        found = self._handle.chunks.popleft()
        if self._call.traffic is not None:
            self._call.traffic.bytes_in += len(found)
        return found

    def finish(self) -> None:
        """End the request behind the last byte that is wanted; its connection is kept if it was the last one."""
        self.chunk()
        self.close()

    def put_back(self, piece: bytes) -> None:
        """Return bytes that come next again."""
        self._handle.chunks.appendleft(piece)

    def _wait(self) -> bool:
        """Wait for more bytes, and end the request if none come. Return whether there are some."""
        until = time.monotonic() + STALLED_SECONDS
        while not self._line.more(LONGEST_WAIT_SECONDS) and not self._handle.chunks:
            if time.monotonic() >= until:
                self._end((PASSING_ERRNO, f"no byte came for {STALLED_SECONDS} seconds"))
                return False
        if not self._handle.chunks:
            self._end()
            return False
        return True

    def close(self) -> None:
        """End the request; what has not arrived is not read."""
        if self._is_open:
            self._end()

    def _end(self, reason: tuple[int, str] = (0, "")) -> None:
        self._is_open = False
        self.reply = self._line.finish(reason)
        self._lines.give_back(self._call.endpoint.origin, self._line)


class Http:
    """Sends requests with the credentials of `access`. Safe for threads and forks."""

    def __init__(
        self,
        access: PerProcess[Access],
        *,
        lines: PerProcess[Lines] | None = None,
        random: Callable[[], float] = chance.random,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.access = access
        self._lines = lines or PerProcess(Lines)
        self._random, self._sleep = random, sleep

    def acting_with(self, access: PerProcess[Access]) -> Http:
        """Return one that signs with another access over the same connections."""
        return Http(access, lines=self._lines, random=self._random, sleep=self._sleep)

    def send(self, call: Call[T]) -> T:
        """Return what `call.read` makes of the answer.

        Raises NoSuchObject (404), PreconditionFailed (412), StorageRefused, and StorageUnavailable if S3 kept failing.
        """
        while True:
            reply = self._exchange(call)
            value = call.read(reply) if not reply.errno and 200 <= reply.status < 300 else None
            if value is not None and not isinstance(value, Fault):
                self._lines().answered = True
                return value
            self._settle(call, reply, value or reply.fault())

    def open(self, call: Call[Any]) -> Stream:
        """Return the stream of a successful answer. Raises as `send` does; what is lost later is up to the caller."""
        while True:
            lines, line, handle = self._begin(call, is_stream=True)
            try:
                until = time.monotonic() + call.seconds
                while not (line.more(LONGEST_WAIT_SECONDS) or handle.chunks or time.monotonic() >= until):
                    pass
                is_good = 200 <= handle.curl.getinfo(pycurl.RESPONSE_CODE) < 300
                if is_good and (handle.chunks or line.is_complete):
                    lines.answered = True
                    return Stream(lines, line, handle, call)
                reply = self._rest(call, line, handle, until)
            except BaseException:
                line.close()
                raise
            lines.give_back(call.endpoint.origin, line)
            self._settle(call, reply, reply.fault())

    def pause(self, attempt: int, retry_after: float | None = None) -> None:
        """Wait before the attempt after this one (from 1)."""
        self._sleep(delay_seconds(attempt, self._random(), retry_after))

    def close(self) -> None:
        """Close the idle connections."""
        self._lines().close()

    def _exchange(self, call: Call[Any]) -> Reply:
        lines, line, handle = self._begin(call, is_stream=False)
        try:
            reply = self._rest(call, line, handle, None)
        except BaseException:  # an interruption: the transfer may be in any state
            line.close()
            raise
        lines.give_back(call.endpoint.origin, line)
        return reply

    def _begin(self, call: Call[Any], *, is_stream: bool) -> tuple[Lines, Line, Handle]:
        endpoint = call.endpoint
        identity = self.access().identity_of(endpoint.bucket)
        try:
            signed = sign(
                call.method, endpoint.host, call.path, call.query, call.headers, credentials=identity.credentials(),
                region=endpoint.region, service=endpoint.service, now=identity.now(), payload=call.payload(),
            )  # fmt: skip
        except UnicodeEncodeError:
            raise refused_error("InvalidRequest", "a header value holds a letter outside ASCII", call.subject) from None
        except ValueError as error:
            raise refused_error("InvalidRequest", str(error), call.subject) from None
        call.attempts += 1
        if call.traffic is not None:
            call.traffic.requests += 1
            call.traffic.bytes_out += len(call.body)
        lines = self._lines()
        line = lines.take(endpoint.origin)
        return lines, line, line.begin(call, signed, is_stream=is_stream)

    def _rest(self, call: Call[Any], line: Line, handle: Handle, until: float | None) -> Reply:
        """Return the reply with its whole body."""
        reason = 0, ""
        while not line.more(LONGEST_WAIT_SECONDS):
            if until is not None and time.monotonic() >= until:
                reason = PASSING_ERRNO, f"no answer came for {call.seconds} seconds"
                break
        call.was_lost = call.was_lost or handle.was_resent()
        body = b"".join(handle.chunks)
        reply = line.finish(reason)
        reply.body = body
        return reply

    def _settle(self, call: Call[Any], reply: Reply, fault: Fault) -> None:
        """Return when the request may be sent again, or raise why it failed."""
        lines, identity = self._lines(), self.access().identity_of(call.endpoint.bucket)
        lines.answered = lines.answered or not reply.errno
        call.was_lost = call.was_lost or bool(reply.errno) or reply.status >= 500 or 200 <= reply.status < 300
        decision = verdict(fault.code, reply.status, reply.errno)
        if not call.refreshed and (decision is Verdict.REFRESH or identity.may_be_why(call.method, reply)):
            call.refreshed = True
            identity.learn(server_time(reply.headers()))
            identity.renew()
            return
        most = ATTEMPTS_TO_REACH if fault.code == "Unreachable" and not lines.answered else ATTEMPTS
        if decision is Verdict.RETRY and call.attempts < most:
            self.pause(call.attempts, reply.retry_after())
            return
        raise _error(call, reply, fault, decision, answered=lines.answered)

    def __reduce__(self) -> NoReturn:
        raise TypeError("connections belong to their process: make a client in each")


def _error(call: Call[Any], reply: Reply, fault: Fault, decision: Verdict, *, answered: bool) -> RehouseError:
    if reply.status == 404 and fault.code in ABSENT:
        return NoSuchObject(call.subject, fault.code)
    if reply.status == 412 or fault.code == PRECONDITION_FAILED:
        return PreconditionFailed(call.subject, fault.message) if reply.body else PreconditionFailed(call.subject)
    if decision is Verdict.RETRY and fault.code == "Unreachable":
        return (unavailable_error if answered else refused_error)(fault.code, fault.message, call.endpoint.name)
    if decision is Verdict.RETRY:
        return unavailable_error(fault.code, fault.message, call.subject)
    region = reply.region() if decision in {Verdict.REFUSE, Verdict.REFRESH} else None
    return refused_error(fault.code, fault.message, call.subject, region=region)
