"""Isolation: prove that the credentials and URLs of a tenant reach no other tenant's bucket, by trying it.

First the server is certified: it must enforce session policies. Then each tenant attacks others, and the shared buckets, in every
way of `core.isolation`. Nothing is damaged (`s3.attacks`), and what a leak made is removed. What could not be tried is never a
success.
"""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from rehouse.core.errors import ConfigurationError
from rehouse.core.isolation import VICTIMS_EACH, Outcome, choose_pairs, conclude, is_sampled, operations_of
from rehouse.core.isolation_evidence import FORMAT, Certification, Evidence, LeftOutTenant, Principal, digest
from rehouse.core.model import Tenant
from rehouse.core.permissions.session_policy import session_arn
from rehouse.core.pricing import requests_dollars
from rehouse.operations.buckets.homes import Holding, holdings
from rehouse.operations.checks.session_policies import certify
from rehouse.operations.services import Services
from rehouse.operations.steps.attacks import Campaign, Party, Tried, prepare, shared_victims
from rehouse.s3.attacks import Attacks
from rehouse.s3.objects.client import ObjectClient
from rehouse.s3.tenant_credentials import TenantCredentials

CONTROLS = 2
"""Requests with which each tenant shows that its own access works."""


@dataclass(frozen=True, slots=True)
class IsolationReport:
    """The outcome, and the evidence with its digest. `not_tried`: how many pairs were not tried because of a tenant's fault."""

    outcome: Outcome
    digest: str
    not_tried: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class IsolationPlan:
    """What a run would send at most, and what that costs. `pairs_to_try`: with the shared buckets."""

    tenants_to_try: list[str]
    shared_buckets: list[str]
    tenants_left_out: list[LeftOutTenant]
    pairs_to_try: int
    seed: int | None
    victims_each: int
    requests_to_send: int
    requests_dollars: Decimal


@dataclass(frozen=True, slots=True)
class Choice:
    """Who takes part, and who attacks whom. Chosen once, before anything is sent."""

    homes: list[tuple[Tenant, str]]
    left_out: list[LeftOutTenant]
    shared: list[str]
    pairs: list[tuple[int, int]]
    seed: int | None
    victims_each: int


def choose(services: Services, *, seed: int | None = None, victims_each: int = VICTIMS_EACH) -> Choice:
    """Choose the tenants with a bucket of their own, and the pairs. Without a seed, one is drawn where a sample is taken."""
    require_role(services)
    homes, left_out = [], []
    for each in holdings(services, services.ledger.tenants()):
        if each.bucket and (each.is_made or _is_still_there(services, each)):
            homes.append((each.tenant, each.bucket))
        else:
            left_out.append(LeftOutTenant(each.tenant.slug, each.tenant.id, _why_left_out(each)))
    drawn = (secrets.randbelow(2**32) if seed is None else seed) if is_sampled(len(homes)) else None
    pairs = choose_pairs(range(len(homes)), drawn or 0, victims_each=victims_each)
    return Choice(homes, left_out, list(services.settings.remaining_buckets), pairs, drawn, victims_each)


def require_role(services: Services) -> str:
    """Return the role of the tenants' credentials. Raises ConfigurationError if there is none."""
    role = services.settings.role_arn
    if role is None:
        raise ConfigurationError(
            "REHOUSE_ROLE_ARN is not set: without a role there are no credentials of one tenant",
            hint="set it to a role with the rights that `rehouse iam-policy --role application` prints",
            subject="role_arn",
        )
    return role


def plan(services: Services, choice: Choice) -> IsolationPlan:
    """Return what a run would do. Sends nothing."""
    kinds = operations_of(_pair_count(choice)) + Counter({"get": CONTROLS * len(choice.homes)})
    kinds += Counter({"list": len(choice.homes), "head": len(choice.homes)})
    return IsolationPlan(
        tenants_to_try=[tenant.slug for tenant, _ in choice.homes],
        shared_buckets=choice.shared,
        tenants_left_out=choice.left_out,
        pairs_to_try=_pair_count(choice),
        seed=choice.seed,
        victims_each=choice.victims_each,
        requests_to_send=kinds.total(),
        requests_dollars=requests_dollars(kinds, services.prices).quantize(Decimal("0.01")),
    )


def prove(services: Services, choice: Choice, *, program: str = "rehouse") -> IsolationReport:
    """Certify the server, send the attacks, and return the report with its evidence. `program`: its name and version.

    Raises StorageRefused if a shared bucket cannot be listed, Interrupted.
    """
    begun_at = datetime.now(UTC)
    role, session = require_role(services), services.control.session
    credentials = TenantCredentials(session, role)
    buckets = {*choice.shared, *(bucket for _, bucket in choice.homes)}
    attacks = Attacks(session, buckets, max_rate=services.settings.max_rate, stop_here=services.stop_here)
    client = ObjectClient(session, owner=services.control.identity().account)
    with closing(attacks), closing(client):
        certification = certify(attacks, credentials, choice.homes)
        parties, tried = list[Party](), Tried()
        if certification.is_certified:
            parties = prepare(services, attacks, credentials, choice.homes)
            shared = shared_victims(services, choice.shared)
            tried = Campaign(services, attacks, credentials, client).attack_all(parties, shared, choice.pairs)
    principals = [_principal(each.tenant, each, role) for each in parties if each.tenant]
    evidence = Evidence(
        format=FORMAT,
        program=program,
        endpoint=session.url,
        region=session.region,
        role_arn=role,
        caller=services.control.identity().arn,
        begun_at=begun_at.isoformat(timespec="seconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        certification=certification,
        seed=choice.seed,
        victims_each=choice.victims_each,
        shared_buckets=choice.shared,
        principals=principals,
        tenants_left_out=choice.left_out,
        pairs=tried.pairs,
        leaks=tried.leaks,
        not_known=tried.not_known,
        requests_sent=attacks.requests.total(),
        denied=tried.denied,
    )
    return IsolationReport(_outcome(certification, tried), digest(evidence), tried.not_tried, evidence)


def _outcome(certification: Certification, tried: Tried) -> Outcome:
    return conclude(
        is_certified=certification.is_certified,
        denied=tried.denied,
        leaked=len(tried.leaks),
        not_known=len(tried.not_known) + tried.not_tried,
    )


def _principal(tenant: Tenant, party: Party, role: str) -> Principal:
    arn = session_arn(role, tenant.id)
    answer = None if party.own_access is None else str(party.own_access)
    return Principal(tenant.slug, tenant.id, party.bucket, arn, answer, party.key is not None, party.fault)


def _pair_count(choice: Choice) -> int:
    return len(choice.pairs) + len(choice.homes) * len(choice.shared)


def _is_still_there(services: Services, holding: Holding) -> bool:
    """Return whether a tenant that was rolled back still has its former home, with all that is in it."""
    return holding.is_rolled_back and services.control.head(holding.bucket or "").whose != "absent"


def _why_left_out(holding: Holding) -> str:
    if holding.contradiction:
        return holding.contradiction.message
    if holding.is_rolled_back:
        return "it was rolled back, and its bucket was removed"
    return "its bucket is not created yet" if holding.bucket else "it has no bucket of its own yet"
