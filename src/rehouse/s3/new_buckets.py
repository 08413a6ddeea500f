"""Recently created buckets, and how long to retry the errors that they cause.

For a while after a bucket is created, some of S3's servers do not know it yet or are busy with it. Both planes ask this module
whether an error only means that. If the retries do not help, S3's error is raised.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

from rehouse.s3.faults import NO_SUCH_BUCKET

NEW_SECONDS = 900.0
"""How long a bucket counts as new."""

DELAYS_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0)
"""The waits before the retries of one request, two minutes in all; after that S3's answer is final."""

UNKNOWN = frozenset({NO_SUCH_BUCKET, "InvalidTargetBucketForLogging"})
"""The codes of a server that does not know the bucket, or its log bucket, yet."""

BUSY = "OperationAborted"
"""The code of a bucket on which S3 is still working; it is temporary, however old the bucket is."""

WAITING = {
    NO_SUCH_BUCKET: "waiting for S3 to know this new bucket",
    "InvalidTargetBucketForLogging": "waiting for S3 to know the new log bucket",
    BUSY: "waiting for S3, which is busy with this bucket",
}
"""The text to show during a wait, by code."""

Tell = Callable[[str, str], object]


def show_nothing(bucket: str, text: str) -> None:
    """Show nothing."""


class NewBuckets:
    """The new buckets of one run, for several threads.

    `tell(bucket, text)` shows the reason of a wait.
    """

    def __init__(
        self,
        *,
        tell: Tell = show_nothing,
        delays_seconds: Sequence[float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tell = tell
        self._delays_seconds = DELAYS_SECONDS if delays_seconds is None else delays_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._made: dict[str, float] = {}
        self._expected: dict[str, float] = {}

    def add(self, bucket: str) -> None:
        """Note that this run created the bucket, so an answer that it does not exist is wrong for a while."""
        with self._lock:
            self._made[bucket] = self._clock()

    def expect(self, bucket: str, age_seconds: float = 0.0) -> None:
        """Note that an earlier run created the bucket, or may have.

        Of the answers that it does not exist, only HeadBucket's is believed.
        """
        with self._lock:
            self._expected[bucket] = self._clock() - age_seconds

    def forget(self, bucket: str) -> None:
        """Note that the bucket is about to be deleted, so an answer that it does not exist is right."""
        with self._lock:
            self._made.pop(bucket, None)
            self._expected.pop(bucket, None)

    def is_made(self, bucket: str) -> bool:
        """Return whether this run created the bucket recently."""
        return self._is_recent(self._made, bucket)

    def is_new(self, bucket: str) -> bool:
        """Return whether this run or an earlier one created the bucket recently."""
        return self.is_made(bucket) or self._is_recent(self._expected, bucket)

    def delay_seconds(self, code: str, buckets: Iterable[str], waits: int) -> float | None:
        """Return the seconds to wait before the request is sent again, None if the answer is final.

        `buckets`: the buckets that the request names; `waits`: how many waits this request has had.

        | code                                        | a bucket of the request is new | waits    | again |
        |---------------------------------------------|--------------------------------|----------|-------|
        | OperationAborted                            | any                            | some left| yes   |
        | NoSuchBucket, InvalidTargetBucketForLogging | yes                            | some left| yes   |
        | NoSuchBucket, InvalidTargetBucketForLogging | no                             | any      | no    |
        | any                                         | any                            | none left| no    |
        | anything else                               | any                            | any      | no    |
        """
        new = next((bucket for bucket in buckets if self.is_new(bucket)), None)
        if waits >= len(self._delays_seconds) or not (code == BUSY or (code in UNKNOWN and new)):
            return None
        return self._delays_seconds[waits]

    def _is_recent(self, since: dict[str, float], bucket: str) -> bool:
        with self._lock:
            return bucket in since and self._clock() - since[bucket] < NEW_SECONDS
