"""The evidence of a proof of isolation: what was tried, when, by whom, and each answer; and its digest.

It holds no credentials and no URL. Of documents it names only the keys that were reached.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from hashlib import sha256

from rehouse.core.isolation import Attack
from rehouse.core.model import TenantId

FORMAT = 1
"""The version. It increases when a key changes its meaning or is removed."""


@dataclass(frozen=True, slots=True)
class Certification:
    """What the server answered to two requests that list a tenant's bucket.

    `must_succeed`: under the session policy of that tenant. `must_fail`: under a session policy of the same role that names another
    bucket. `reason`: why the server is not certified, None if it is.
    """

    bucket: str | None = None
    must_succeed: str | None = None
    must_fail: str | None = None
    reason: str | None = None

    @property
    def is_certified(self) -> bool:
        """Whether the server enforces session policies."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class LeftOutTenant:
    """A tenant that takes no part, and why."""

    tenant: str
    tenant_id: TenantId
    reason: str


@dataclass(frozen=True, slots=True)
class Principal:
    """A tenant that attacks and is attacked.

    `principal`: the ARN of its session. `own_access`: the answer for its own bucket, which must be a success.
    `has_object`: there is an object that others can try to read. `fault`: why nothing was tried with it.
    """

    tenant: str
    tenant_id: TenantId
    bucket: str
    principal: str
    own_access: str | None
    has_object: bool
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class PairAnswers:
    """What S3 answered to the attacks of one tenant on another one's bucket, or on a shared bucket: attack → answer."""

    attacker: str
    victim: str
    bucket: str
    answers: dict[str, str]


@dataclass(frozen=True, slots=True)
class AttackFinding:
    """An attack that was not refused, or about which nothing is known.

    `key`: the object that it named. `left_behind`: what it made and what could not be removed again.
    """

    attacker: str
    victim: str
    bucket: str
    key: str | None
    attack: Attack
    answer: str
    message: str
    left_behind: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A whole run. Times are UTC. `seed`: gives the same sample again; None if all pairs were tried."""

    format: int
    program: str
    endpoint: str
    region: str
    role_arn: str
    caller: str | None
    begun_at: str
    ended_at: str
    certification: Certification
    seed: int | None
    victims_each: int
    shared_buckets: list[str]
    principals: list[Principal] = field(default_factory=list)
    tenants_left_out: list[LeftOutTenant] = field(default_factory=list)
    pairs: list[PairAnswers] = field(default_factory=list)
    leaks: list[AttackFinding] = field(default_factory=list)
    not_known: list[AttackFinding] = field(default_factory=list)
    requests_sent: int = 0
    denied: int = 0


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of a value: sorted keys, no white space, UTF-8.

    >>> canonical_json({"b": 1, "a": ["ü"]}).decode()
    '{"a":["ü"],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(evidence: Evidence) -> str:
    """Return the SHA-256 over the canonical JSON of the evidence, in hexadecimal digits."""
    return sha256(canonical_json(asdict(evidence))).hexdigest()
