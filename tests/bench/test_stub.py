"""The stub behaves as the server that it stands for: its pages hold every key once, its allowance is kept and written down."""

from __future__ import annotations

import pytest

from bench.stub.allowance import Allowance
from bench.stub.storage import OLD, Bucket, Made, Storage, Stored, most_at_once, shared_key


def filled(count: int) -> Bucket:
    bucket = Bucket()
    for number in reversed(range(count)):
        bucket.put(shared_key(number), Stored("e", 1, OLD))
    return bucket


@pytest.mark.parametrize("bucket", [Made(25), filled(25)], ids=["made up", "filled"])
def test_pages_hold_every_key_once_and_in_order(bucket: Bucket | Made) -> None:
    keys: list[str] = []
    more = True
    while more:
        page, more = bucket.page("", keys[-1] if keys else "", 10)
        keys += [key for key, _ in page]
    assert keys == [shared_key(number) for number in range(25)]


@pytest.mark.parametrize("bucket", [Made(25), filled(25)], ids=["made up", "filled"])
def test_a_page_begins_after_what_was_asked_for(bucket: Bucket | Made) -> None:
    def first(after: str, prefix: str = "") -> str:
        return bucket.page(prefix, after, 1)[0][0][0]

    assert first("a") == shared_key(0)
    assert first(shared_key(4)[:-1]) == shared_key(4)
    assert first(shared_key(4) + "x") == shared_key(5)
    assert bucket.page("", shared_key(24), 10) == ([], False)
    assert bucket.page("", "z", 10) == ([], False)


def test_a_prefix_that_is_a_key_is_listed_itself() -> None:
    assert [key for key, _ in filled(3).page(shared_key(1), "", 10)[0]] == [shared_key(1)]


def test_an_allowance_is_a_rate_with_room_for_a_burst() -> None:
    at = 0.0
    allowance = Allowance(100, clock=lambda: at)
    assert [allowance.allows() for _ in range(30)] == [True] * 25 + [False] * 5
    at = 0.5
    assert sum(allowance.allows() for _ in range(60)) == 25
    assert allowance.history == {0: [50, 40, 100]}


def test_an_allowance_doubles_and_idle_seconds_are_noted() -> None:
    at = 0.0
    allowance = Allowance(100, doubling_seconds=2, highest=300, clock=lambda: at)
    allowance.allows()
    at = 5.2
    allowance.allows()
    assert allowance.history == {
        0: [1, 0, 100],
        1: [0, 0, 100],
        2: [0, 0, 200],
        3: [0, 0, 200],
        4: [0, 0, 300],
        5: [1, 0, 300],
    }


def test_buckets_in_the_making_at_one_instant_are_counted() -> None:
    assert most_at_once([]) == 0
    assert most_at_once([(0, 1), (1, 2)]) == 1
    assert most_at_once([(0, 9), (1, 5), (2, 3), (4, 6)]) == 3
    storage = Storage(10)
    assert storage.provisioned_at_once() == 0
    for name, created, configured in (("a", 0.0, 2.0), ("b", 1.0, 3.0), ("c", 5.0, 6.0)):
        storage.create(name)
        bucket = storage.buckets[name]
        assert isinstance(bucket, Bucket)
        bucket.created_at, bucket.configured_at = created, configured
    assert storage.provisioned_at_once() == 2
