"""Decide how the isolation of tenants is proven: who attacks whom and how, what each answer means, and what follows from all.

Pure functions. Only an answer that refuses the principal counts as denied. Any other failure proves nothing: it is not known.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

ALL_PAIRS_UP_TO = 50
"""Up to so many tenants, each attacks every other one."""
VICTIMS_EACH = 10
"""How many others each tenant attacks if there are more tenants."""


class Attack(StrEnum):
    """A request that must be refused. `presigned`: by a URL that the attacker signs."""

    GET = "get"
    GET_VERSION = "get_version"
    LIST = "list"
    LIST_VERSIONS = "list_versions"
    LIST_UPLOADS = "list_uploads"
    PUT = "put"
    DELETE = "delete"
    COPY = "copy"
    MULTIPART = "multipart"
    PRESIGNED_GET = "presigned_get"
    PRESIGNED_PUT = "presigned_put"
    UNSIGNED_GET = "unsigned_get"
    UNSIGNED_LIST = "unsigned_list"
    UNSIGNED_PUT = "unsigned_put"
    TAMPERED_URL = "tampered_url"
    EXTENDED_URL = "extended_url"
    EXPIRED_URL = "expired_url"


MEANINGS = {
    Attack.GET: "read an object of the other tenant",
    Attack.GET_VERSION: "read a version of it",
    Attack.LIST: "list its bucket",
    Attack.LIST_VERSIONS: "list the versions in its bucket",
    Attack.LIST_UPLOADS: "list the open uploads in its bucket",
    Attack.PUT: "write a new object below temp/ in its bucket",
    Attack.DELETE: "delete a key that does not exist, below temp/ in its bucket",
    Attack.COPY: "copy an object of it into the own bucket",
    Attack.MULTIPART: "start an upload in parts below temp/ in its bucket",
    Attack.PRESIGNED_GET: "read an object of it by a URL that the attacker signed",
    Attack.PRESIGNED_PUT: "write a new object below temp/ by a URL that the attacker signed",
    Attack.UNSIGNED_GET: "read an object of it without any credentials",
    Attack.UNSIGNED_LIST: "list its bucket without any credentials",
    Attack.UNSIGNED_PUT: "write a new object below temp/ without any credentials",
    Attack.TAMPERED_URL: "read an object of it by a URL for another object, with the path changed",
    Attack.EXTENDED_URL: "read it by its own expired URL, with a later expiry written into it",
    Attack.EXPIRED_URL: "read it by its own URL, which has expired",
}
NEED_AN_OBJECT = frozenset({Attack.GET, Attack.GET_VERSION, Attack.COPY, Attack.PRESIGNED_GET, Attack.UNSIGNED_GET})
"""Attacks that mean something only on an object that exists: S3 may answer 403 for a missing one to anybody."""
FORGERIES = frozenset({Attack.TAMPERED_URL, Attack.EXTENDED_URL, Attack.EXPIRED_URL})
NAME_THE_OBJECT = NEED_AN_OBJECT | FORGERIES

REFUSALS = frozenset({"AccessDenied", "AllAccessDisabled"})
FORGERY_REFUSALS = REFUSALS | {"SignatureDoesNotMatch"}
EXPIRY_REFUSALS = FORGERY_REFUSALS | {"RequestExpired", "RequestTimeTooSkewed"}
BEHIND_THE_GATE = frozenset(
    {
        "NoSuchKey",
        "NoSuchVersion",
        "NoSuchUpload",
        "NotModified",
        "PreconditionFailed",
        "InvalidRange",
        "InvalidObjectState",
    }
)
"""The codes of requests that S3 allowed and then could not carry out, because of the object's state."""


class Verdict(StrEnum):
    """What an answer to an attack means."""

    DENIED = "denied"
    LEAKED = "leaked"
    NOT_KNOWN = "not_known"


def judge(attack: Attack, status: int, code: str | None) -> Verdict:
    """Return what S3's answer means; `code` is its error code, None if there is none. The first matching line applies:

    | attack        | status | code                  | verdict   |
    |---------------|--------|-----------------------|-----------|
    | any           | 2xx    |                       | leaked    |
    | any           | any    | NoSuchKey             | leaked    |
    | any           | any    | PreconditionFailed    | leaked    |
    | any           | any    | InvalidRange          | leaked    |
    | any           | any    | InvalidObjectState    | leaked    |
    | any           | 403    | AccessDenied          | denied    |
    | any           | 403    | AllAccessDisabled     | denied    |
    | tampered_url  | 403    | SignatureDoesNotMatch | denied    |
    | extended_url  | 403    | SignatureDoesNotMatch | denied    |
    | expired_url   | 403    | RequestTimeTooSkewed  | denied    |
    | tampered_url  | 403    | RequestTimeTooSkewed  | not_known |
    | get           | 403    | SignatureDoesNotMatch | not_known |
    | any           | 403    | InvalidAccessKeyId    | not_known |
    | any           | 403    | ExpiredToken          | not_known |
    | any           | 404    | NoSuchBucket          | not_known |
    | any           | any    | other                 | not_known |

    NoSuchKey: whoever may not read and list is told AccessDenied.
    """
    if code is None:
        return Verdict.LEAKED if 200 <= status < 300 else Verdict.NOT_KNOWN
    if code in BEHIND_THE_GATE:
        return Verdict.LEAKED
    return Verdict.DENIED if status in {200, 403} and code in _refusals(attack) else Verdict.NOT_KNOWN


def _refusals(attack: Attack) -> frozenset[str]:
    if attack is Attack.EXPIRED_URL:
        return EXPIRY_REFUSALS
    return FORGERY_REFUSALS if attack in FORGERIES else REFUSALS


def attacks_on(*, has_object: bool, has_version: bool) -> list[Attack]:
    """Return the attacks that mean something on a victim; `has_object`: it has an object to read, `has_version`: with a version."""
    lacking = set() if has_object else set(NEED_AN_OBJECT)
    return [each for each in Attack if each not in lacking and (has_version or each is not Attack.GET_VERSION)]


_OPERATIONS = {
    Attack.LIST: "list",
    Attack.LIST_VERSIONS: "list",
    Attack.LIST_UPLOADS: "list",
    Attack.PUT: "put",
    Attack.PRESIGNED_PUT: "put",
    Attack.UNSIGNED_LIST: "list",
    Attack.UNSIGNED_PUT: "put",
    Attack.DELETE: "delete",
    Attack.COPY: "copy",
    Attack.MULTIPART: "create",
}


def operations_of(pairs: int) -> Counter[str]:
    """Return how many requests of each kind that has a price so many pairs need at most.

    >>> operations_of(90).total()
    1530
    """
    kinds = Counter(_OPERATIONS.get(each, "get") for each in Attack)
    return Counter({kind: count * pairs for kind, count in kinds.items()})


Name = TypeVar("Name")


def is_sampled(tenants: int) -> bool:
    """Return whether so many tenants are too many to attack all pairs."""
    return tenants > ALL_PAIRS_UP_TO


def choose_pairs(
    tenants: Sequence[Name], seed: int, *, victims_each: int = VICTIMS_EACH, all_up_to: int = ALL_PAIRS_UP_TO
) -> list[tuple[Name, Name]]:
    """Return who attacks whom, by attacker: all pairs up to `all_up_to` tenants, else `victims_each` others for each.

    In a sample each tenant attacks, and is attacked by, equally many others. The same seed gives the same sample.

    >>> choose_pairs(["a", "b", "c"], seed=1)
    [('a', 'b'), ('a', 'c'), ('b', 'a'), ('b', 'c'), ('c', 'a'), ('c', 'b')]
    >>> len(choose_pairs(range(1000), seed=1))
    10000
    """
    count = len(tenants)
    if count <= all_up_to:
        return [(one, other) for at, one in enumerate(tenants) for to, other in enumerate(tenants) if at != to]
    draw = random.Random(seed)  # noqa: S311 (a sample that can be repeated, no secret)
    circle = list(range(count))
    draw.shuffle(circle)
    place = {index: at for at, index in enumerate(circle)}
    steps = sorted(draw.sample(range(1, count), min(victims_each, count - 1)))
    return [
        (tenants[index], tenants[circle[(place[index] + step) % count]]) for index in range(count) for step in steps
    ]


class Outcome(StrEnum):
    """What a run has shown."""

    PROVEN = "proven"
    LEAK = "leak"
    NOT_KNOWN = "not_known"
    NOT_POSSIBLE = "not_possible_here"


def conclude(*, is_certified: bool, denied: int, leaked: int, not_known: int) -> Outcome:
    """Return what follows from all answers. The first matching line applies:

    | leaked | is_certified | not_known | denied | outcome           |
    |--------|--------------|-----------|--------|-------------------|
    | some   |              |           |        | leak              |
    | 0      | no           |           |        | not_possible_here |
    | 0      | yes          | some      |        | not_known         |
    | 0      | yes          | 0         | 0      | not_known         |
    | 0      | yes          | 0         | some   | proven            |
    """
    if leaked:
        return Outcome.LEAK
    if not is_certified:
        return Outcome.NOT_POSSIBLE
    return Outcome.PROVEN if denied and not not_known else Outcome.NOT_KNOWN
