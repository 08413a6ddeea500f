"""The endpoints, credentials and clock of one process, and how a value is made anew after a fork.

A child must not use what its parent made: a lock may be held for ever, and a connection belongs to both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from rehouse.s3.bulk.clock_and_credentials import Identity
from rehouse.s3.endpoint import Endpoint
from rehouse.s3.session import Session

T = TypeVar("T")

_INHERITED: list[object] = []
"""The parent's values after a fork, kept so that the child never closes them."""


class PerProcess(Generic[T]):
    """A value that each process makes for itself: here and now, and in a child when it is first needed.

    Two threads of a child may both make one; the last one stays. No lock is used, because a child could inherit it held.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made = os.getpid(), make()

    def __call__(self) -> T:
        """Return the value of this process."""
        process, value = self._made
        if process != os.getpid():
            _INHERITED.append(value)
            value = self._make()
            self._made = os.getpid(), value
        return value


class Access:
    """Where a bucket is, with which credentials and at what time requests to it are signed.

    Raises ConfigurationError if the endpoint is unusable.
    """

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self.session = session
        self.identity = Identity(session, clock)
        self.is_aws = session.is_aws  # finds the endpoint: botocore's sessions are not made for several threads at once

    def endpoint(self, bucket: str) -> Endpoint:
        """Return the bucket's endpoint. Raises ValueError if the name cannot be a bucket's name."""
        return self.session.endpoint(bucket)

    def identity_of(self, bucket: str) -> Identity:
        """Return whose credentials sign the requests to a bucket."""
        return self.identity

    def session_of(self, bucket: str) -> Session:
        """Return a session with these credentials."""
        return self.session


def access_of(session: Session, clock: Callable[[], float] = time.time) -> PerProcess[Access]:
    """Return the access of each process: through `session` itself in this one."""
    process = os.getpid()
    return PerProcess(lambda: Access(session if os.getpid() == process else session.fresh(), clock))
