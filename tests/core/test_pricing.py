"""Dollars for requests and storage: the published check sum, sums of parts, and nothing that floats."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.pricing import (
    GIB,
    PriceList,
    ReadingCost,
    Requests,
    estimate,
    reading_cost,
    requests_dollars,
    requests_for,
)

PRICES = PriceList(*map(Decimal, ("0.005", "0.005", "0.0004", "0.023", "0.09")))
counts = st.integers(0, 10**9)
requests = st.builds(Requests, counts, counts, counts)


def test_a_million_objects_of_a_tebibyte() -> None:
    cost = estimate(Requests(copies=1_000_000, heads=2_000_000, lists=1_000), 1024 * GIB, PRICES)
    assert (cost.requests_dollars, cost.doubled_storage_dollars) == (Decimal("5.81"), Decimal("23.55"))


def test_nothing_costs_nothing() -> None:
    cost = estimate(requests_for(0), 0, PRICES)
    assert (cost.requests_dollars, cost.doubled_storage_dollars) == (Decimal("0.00"), Decimal("0.00"))


def test_each_kind_of_request_has_its_price() -> None:
    assert estimate(Requests(copies=1_000_000), 0, PRICES).requests_dollars == Decimal("5.00")
    assert estimate(Requests(lists=1_000_000), 0, PRICES).requests_dollars == Decimal("5.00")
    assert estimate(Requests(heads=1_000_000), 0, PRICES).requests_dollars == Decimal("0.40")


@pytest.mark.parametrize(
    ("kind", "dollars"),
    [
        ("copy", "5.00"), ("upload", "5.00"), ("PutBucketPolicy", "5.00"), ("CreateBucket", "5.00"),
        ("UploadPartCopy", "5.00"), ("CompleteMultipartUpload", "5.00"), ("list", "5.00"), ("ListObjectVersions", "5.00"),
        ("head", "0.40"), ("GetObject", "0.40"), ("location", "0.40"), ("DeleteBucket", "0.00"),
        ("AbortMultipartUpload", "0.00"),
    ],
)  # fmt: skip
def test_a_million_sent_requests_cost_by_their_kind(kind: str, dollars: str) -> None:
    assert requests_dollars({kind: 1_000_000}, PRICES) == Decimal(dollars)


@given(counts)
def test_a_migration_takes_a_copy_and_a_look_at_each_object(objects: int) -> None:
    needed = requests_for(objects)
    assert (needed.copies, needed.heads) == (objects, objects)
    assert needed.lists % 2 == 0
    pages = needed.lists // 2
    assert (pages - 1) * 1000 < objects <= pages * 1000 or objects == pages == 0


@given(requests, requests, st.integers(0, 10**18))
def test_a_sum_costs_the_sum_and_money_has_two_places(one: Requests, other: Requests, size: int) -> None:
    both = estimate(one + other, size, PRICES)
    apart = estimate(one, size, PRICES).requests_dollars + estimate(other, 0, PRICES).requests_dollars
    assert abs(both.requests_dollars - apart) <= Decimal("0.01")
    for money in (both.requests_dollars, both.doubled_storage_dollars):
        assert isinstance(money, Decimal)
        assert money.as_tuple().exponent == -2
        assert money >= 0


def test_reading_counts_its_requests_and_tells_egress_costs() -> None:
    requests = {"list": 2_000, "ListBuckets": 2_000, "GetObject": 250_000, "GetObjectTagging": 500_000, "head": 250_000}
    cost = reading_cost(requests, 10 * GIB, PRICES)
    assert (cost.requests_dollars, cost.egress_dollars) == (Decimal("0.42"), Decimal("0.90"))
    assert reading_cost({}, 0, PRICES) == ReadingCost(Decimal("0.00"), Decimal("0.00"))


def test_half_a_cent_is_rounded_up() -> None:
    assert estimate(Requests(copies=1000), 0, PRICES).requests_dollars == Decimal("0.01")
    assert estimate(Requests(copies=999), 0, PRICES).requests_dollars == Decimal("0.00")
