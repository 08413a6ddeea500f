"""The faults that S3 and the way to it have, as rules of the relay: each strikes some calls of one operation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.http_relay import HttpRelay, HungUp, Reply, Request
from tests.support.s3_stub import error

LONGER_THAN_ANY_TIMEOUT_SECONDS = 75


def refusal(status: int, code: str, *headers: tuple[str, str]) -> Callable[[Request], Reply]:
    """Return a rule that answers with an S3 error instead of the server; a HEAD gets no body, as from S3."""

    def answer(request: Request) -> Reply:
        body = b"" if request.method == "HEAD" else error(code)
        return Reply(status, body, (("Content-Type", "application/xml"), *headers))

    return answer


def hang_up(request: Request) -> Reply:
    """The connection is cut before the server heard of it."""
    raise HungUp


def hang_up_after(request: Request, reply: Reply) -> Reply:
    """The connection is cut once the server has done it."""
    raise HungUp


def torn(request: Request, reply: Reply) -> Reply:
    """Half of the answer, then nothing."""
    return Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers, announced=len(reply.body) or 10)


def half_a_document(request: Request, reply: Reply) -> Reply:
    """Half of the answer as if it were the whole."""
    return Reply(reply.status, reply.body[: len(reply.body) // 2], reply.headers)


def late(request: Request, reply: Reply) -> Reply:
    """The server has done it and says so when nobody listens any more."""
    time.sleep(LONGER_THAN_ANY_TIMEOUT_SECONDS)
    raise HungUp


@dataclass(frozen=True)
class Kind:
    """A kind of fault: what happens instead of the server (`before`), or to its answer (`after`)."""

    name: str
    before: Callable[[Request], Reply] | None = None
    after: Callable[[Request, Reply], Reply] | None = None


REGION = (("x-amz-bucket-region", "eu-west-9"),)
KINDS = (
    Kind("503 SlowDown", refusal(503, "SlowDown")),
    Kind("500 InternalError", refusal(500, "InternalError")),
    Kind("reset before the server acted", hang_up),
    Kind("reset after the server acted", after=hang_up_after),
    Kind("answer torn off", after=torn),
    Kind("answer cut short", after=half_a_document),
    Kind("200 with an error in it", refusal(200, "InternalError")),
    Kind("409 OperationAborted", refusal(409, "OperationAborted")),
    Kind("412 PreconditionFailed", refusal(412, "PreconditionFailed")),
    Kind("403 AccessDenied", refusal(403, "AccessDenied")),
    Kind("400 ExpiredToken", refusal(400, "ExpiredToken")),
    Kind("403 RequestTimeTooSkewed", refusal(403, "RequestTimeTooSkewed")),
    Kind("301 to another region", refusal(301, "PermanentRedirect", *REGION)),
)
LATE = Kind("done, and the answer never comes", after=late)


@dataclass
class Strike:
    """A fault on calls of one operation (None: of every one): the first one, all, or by chance a share of them."""

    kind: Kind
    operation: str | None
    share: float | None = None
    seed: int = 0
    once: bool = True
    struck: int = 0

    def on(self, relay: HttpRelay) -> None:
        """Make the relay's rules."""
        self._chance = random.Random(self.seed)
        if self.kind.before:
            relay.before = self._before
        else:
            relay.after = self._after

    def _strikes(self, request: Request) -> bool:
        if self.operation not in (None, request.operation):
            return False
        is_first = not self.struck
        hit = is_first or not self.once if self.share is None else self._chance.random() < self.share
        self.struck += hit
        return hit

    def _before(self, request: Request) -> Reply | None:
        assert self.kind.before
        return self.kind.before(request) if self._strikes(request) else None

    def _after(self, request: Request, reply: Reply) -> Reply:
        assert self.kind.after
        return self.kind.after(request, reply) if self._strikes(request) else reply
