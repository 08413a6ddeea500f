"""Cost estimates from requests, bytes and a price list. Money is Decimal, in dollars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

GIB = 1024**3
LISTED_PER_REQUEST = 1000
REQUEST_METRICS = 16
"""The most request metrics that S3 publishes per bucket."""
HEADS_A_DOCUMENT = 1
"""At most one HEAD per document: the check of the source before the flip, unless a listing answers it."""


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices in dollars: per thousand requests, per GiB-month, per GiB out of the region, per metric-month.

    The values are settings, with defaults from the pricing pages of S3 and CloudWatch.
    """

    copy_per_thousand: Decimal
    list_per_thousand: Decimal
    head_per_thousand: Decimal
    storage_gb_month: Decimal
    egress_gb: Decimal
    metric_month: Decimal = Decimal("0.30")


@dataclass(frozen=True, slots=True)
class Requests:
    """The number of requests of each kind that a migration needs."""

    copies: int = 0
    heads: int = 0
    lists: int = 0

    def __add__(self, other: Requests) -> Requests:
        return Requests(self.copies + other.copies, self.heads + other.heads, self.lists + other.lists)


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """`requests_dollars` is paid once, `doubled_storage_dollars` every month until the sources are removed."""

    requests_dollars: Decimal
    doubled_storage_dollars: Decimal


@dataclass(frozen=True, slots=True)
class ReadingCost:
    """The cost of reading.

    `egress_dollars` applies only if the reading machine is outside the bucket's region.
    """

    requests_dollars: Decimal
    egress_dollars: Decimal


def requests_for(objects: int) -> Requests:
    """Return the requests to move `objects` objects of one tenant.

    These are a copy and a HEAD of the source for each object, and two listings of the target.
    """
    pages = -(-objects // LISTED_PER_REQUEST)
    return Requests(copies=objects, heads=objects * HEADS_A_DOCUMENT, lists=2 * pages)


def estimate(requests: Requests, stored_bytes: int, prices: PriceList) -> CostEstimate:
    """Return the estimated cost; bytes copied within a region are not billed.

    >>> prices = PriceList(*map(Decimal, ("0.005", "0.005", "0.0004", "0.023", "0.09")))
    >>> estimate(Requests(1_000_000, 2_000_000, 1_000), 1024 * GIB, prices)
    CostEstimate(requests_dollars=Decimal('5.81'), doubled_storage_dollars=Decimal('23.55'))
    """
    requests_dollars = (
        requests.copies * prices.copy_per_thousand
        + requests.lists * prices.list_per_thousand
        + requests.heads * prices.head_per_thousand
    ) / 1000
    storage = Decimal(stored_bytes) / GIB * prices.storage_gb_month
    return CostEstimate(_cents(requests_dollars), _cents(storage))


def metrics_dollars(buckets: int, prices: PriceList) -> Decimal:
    """Return the most that the request metrics of these buckets cost a month, in dollars.

    S3 publishes up to 16 per bucket, billed as CloudWatch custom metrics (the S3 User Guide, "CloudWatch request metrics").

    >>> metrics_dollars(10, PriceList(*map(Decimal, ("0.005", "0.005", "0.0004", "0.023", "0.09"))))
    Decimal('48.00')
    """
    return _cents(buckets * REQUEST_METRICS * prices.metric_month)


def reading_cost(requests: Mapping[str, int], read_bytes: int, prices: PriceList) -> ReadingCost:
    """Return what a verification costs.

    `requests` maps kind or operation → count. Listings cost more than the other requests.

    >>> prices = PriceList(*map(Decimal, ("0.005", "0.005", "0.0004", "0.023", "0.09")))
    >>> reading_cost({"list": 1000, "GetObject": 500_000, "GetObjectTagging": 500_000}, 100 * GIB, prices)
    ReadingCost(requests_dollars=Decimal('0.41'), egress_dollars=Decimal('9.00'))
    """
    return ReadingCost(_cents(requests_dollars(requests, prices)), _cents(Decimal(read_bytes) / GIB * prices.egress_gb))


def requests_dollars(requests: Mapping[str, int], prices: PriceList) -> Decimal:
    """Return what requests of these kinds or operations cost, in dollars, unrounded.

    Whatever writes costs as much as a copy, deletions are free (the S3 pricing page, "Requests and data retrievals").

    >>> prices = PriceList(*map(Decimal, ("0.005", "0.005", "0.0004", "0.023", "0.09")))
    >>> requests_dollars({"copy": 1000, "PutBucketTagging": 1000, "list": 1000, "head": 1000, "DeleteBucket": 1000}, prices)
    Decimal('0.0154')
    """
    return sum((count * _per_thousand(kind.lower(), prices) for kind, count in requests.items()), Decimal(0)) / 1000


def _per_thousand(kind: str, prices: PriceList) -> Decimal:
    if kind.startswith("list"):
        return prices.list_per_thousand
    if kind.startswith(("delete", "abort")):
        return Decimal(0)
    if kind.startswith(("copy", "create", "complete", "put", "upload")):
        return prices.copy_per_thousand
    return prices.head_per_thousand


def _cents(dollars: Decimal) -> Decimal:
    return dollars.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
