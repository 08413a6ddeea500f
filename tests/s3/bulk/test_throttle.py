"""What a thread reserves is its own: no other thread of the plane starts a request with it."""

from __future__ import annotations

import threading
import time

from rehouse.s3.bulk.throttle import Throttle


def in_another_thread(throttle: Throttle, wanted: int) -> int:
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(throttle.take(wanted)))
    thread.start()
    thread.join()
    return taken[0]


def test_reserved_requests_are_not_taken_by_another_thread() -> None:
    throttle = Throttle(40, lambda: 100.0)  # four at once
    with throttle.reserve(2, 3, lambda: False):
        assert in_another_thread(throttle, 10) == 1
        assert throttle.room(0.0) == 3
        assert throttle.take(10) == 3
    assert throttle.take(1) == 0


def test_what_was_not_sent_stays_reserved() -> None:
    throttle = Throttle(40, lambda: 100.0)
    with throttle.reserve(2, 2, lambda: False):
        assert throttle.take(4) == 4
        throttle.give_back(3)  # one was sent: two go back to all, one stays with this thread
        assert in_another_thread(throttle, 10) == 2
        assert throttle.take(10) == 1
    assert throttle.take(1) == 0


def test_what_is_left_at_the_end_goes_back_to_all() -> None:
    throttle = Throttle(40, lambda: 100.0)
    with throttle.reserve(2, 3, lambda: False):
        pass
    assert in_another_thread(throttle, 10) == 4


def test_it_waits_for_as_many_as_are_needed() -> None:
    throttle = Throttle(20, time.monotonic)
    with throttle.reserve(4, 8, lambda: False):
        assert throttle.take(10) >= 4


def test_an_interruption_ends_the_wait() -> None:
    throttle = Throttle(1, lambda: 100.0)  # its clock stands: there will never be two
    with throttle.reserve(2, 2, lambda: True):
        assert throttle.take(10) == 1
