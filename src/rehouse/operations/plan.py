"""Plan: report what would happen, what it costs and what is wrong, before anything changes. Works before `init`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from shlex import quote
from typing import NamedTuple

from rehouse import config
from rehouse.core.archiving import TIERED_CLASS
from rehouse.core.copies import HINTS, Decision, Places, Standing, SurveyedDocument, decide
from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase, is_at_least
from rehouse.core.model import Fault, Tenant, TenantId
from rehouse.core.naming import NOT_RESERVED, bucket_name
from rehouse.core.pricing import (
    LISTED_PER_REQUEST,
    CostEstimate,
    Requests,
    estimate,
    metrics_dollars,
    requests_for,
)
from rehouse.core.progress import BEGUN, DONE, Progress
from rehouse.core.saved_plan import SETTINGS, PlannedTenant, SavedPlan, describe, differences
from rehouse.operations.buckets.earlier_homes import refuse_earlier_home
from rehouse.operations.buckets.homes import home_of, namespace, stand_in_migration
from rehouse.operations.buckets.shared_versioning import Versioning, describe_kept_versions, versioning_of
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.near_keys import name_near_objects
from rehouse.operations.steps.settling import settle_seconds

COPIES_A_SECOND = 3500
"""The rate that S3 allows for each prefix of a bucket (S3 User Guide, optimizing performance): the best case."""

EXAMPLES = 10
"""How many documents of each kind of problem are shown."""


class Orphan(NamedTuple):
    """An object of a shared bucket that no row points to; its size in bytes."""

    bucket: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class QuarantinedDocument:
    """A document that would not be moved: where its row points, the code of the reason, a sentence and a hint."""

    document_id: str
    bucket: str
    key: str
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """What a migration of one tenant would do. Bytes are those of the objects.

    `home_bucket` ends in `xxxxxxxx` if it is not reserved yet. `tiered`: how many of the documents to copy are in
    Intelligent-Tiering, whose archive tiers a listing does not show. `problem`: why `migrate` would refuse the tenant, with a
    `hint`. `notes`: what could not be checked.
    """

    slug: str
    tenant_id: TenantId
    is_active: bool
    home_bucket: str
    documents_total: int = 0
    standings: Counter[Standing] = field(default_factory=Counter)
    to_copy_bytes: int = 0
    quarantined: list[QuarantinedDocument] = field(default_factory=list)
    requests: Requests = field(default_factory=Requests)
    cost: CostEstimate | None = None
    seconds: float = 0
    tiered: int = 0
    problem: str | None = None
    hint: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def to_copy(self) -> int:
        """How many objects a migration would copy."""
        return self.standings[Standing.TO_COPY]


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the tenants of a plan.

    `inactive`: how many tenants are inactive. `standings`: documents by what a migration has to do for them. `faults`: documents
    that could not be checked. `seconds`: how long the copies take at best, at `copies_a_second`.
    """

    tenants_total: int
    inactive: int
    documents_total: int
    standings: Counter[Standing]
    faults: int
    to_copy: int
    to_copy_bytes: int
    seconds: float
    copies_a_second: float


class Example(NamedTuple):
    """A document that has a problem."""

    slug: str
    document_id: str
    bucket: str
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A reason why documents would not be moved: how many documents of how many tenants, the hint, and some examples."""

    code: str
    documents_affected: int
    tenants_affected: int
    hint: str
    examples: list[Example]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of all chosen tenants: totals, problems, and what is in the shared buckets.

    `dropped_buckets`: shared buckets that were removed. `left_out`: by bucket how many objects have keys that the database's
    encoding cannot hold, so no row can point to them.
    """

    totals: Totals
    problems: list[Problem]
    tenants: list[TenantPlan]
    shared: dict[str, tuple[int, int]] = field(default_factory=dict)
    dropped_buckets: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    orphans: list[Orphan] = field(default_factory=list)
    documents_without_tenant: int = 0
    versioning_settle_seconds: int = 0
    shared_versioning: dict[str, Versioning] = field(default_factory=dict)
    documents_of_missing_tenants: int = 0
    missing_tenants: int = 0
    cost: CostEstimate | None = None
    request_metrics_dollars: Decimal | None = None
    kept_versions: tuple[str, ...] = ()

    @property
    def quarantined(self) -> int:
        """How many documents would not be moved because they would be in quarantine."""
        return sum(tenant.standings[Standing.QUARANTINED] for tenant in self.tenants)

    @property
    def is_well_otherwise(self) -> bool:
        """Whether nothing is wrong except for documents in quarantine: every document could be checked, no tenant is refused."""
        are_refused = any(tenant.problem for tenant in self.tenants)
        return not are_refused and sum(len(tenant.quarantined) for tenant in self.tenants) == self.quarantined


def plan(services: Services, tenants: Sequence[Tenant], *, orphans: bool = False) -> Plan:
    """Return the plan for these tenants. Changes nothing; the shared buckets are listed once."""
    ledger, buckets = services.ledger, services.settings.remaining_buckets
    survey.list_shared_buckets(services)
    services.report(Progress("", BEGUN, documents_total=len(tenants)))
    planned = [_plan_tenant(services, tenant) for tenant in tenants]
    shared = {bucket: ledger.inventory().totals(bucket) for bucket in buckets}
    of_missing, missing = ledger.documents_of_missing_tenants()
    listings = sum(-(-count // LISTED_PER_REQUEST) or 1 for count, _ in shared.values())
    requests = sum((each.requests for each in planned), Requests(lists=listings))
    has_metrics = services.settings.request_metrics
    return Plan(
        totals=_totals(planned, _copies_a_second(services)),
        problems=_problems(planned),
        tenants=planned,
        shared=shared,
        dropped_buckets=services.settings.dropped_buckets,
        left_out={bucket: each.objects for bucket, each in services.left_out.items() if each.objects},
        orphans=_orphans(services, buckets) if orphans else [],
        documents_without_tenant=ledger.documents_without_tenant(),
        versioning_settle_seconds=settle_seconds(services),
        shared_versioning={bucket: versioning_of(services.control, bucket) for bucket in buckets},
        documents_of_missing_tenants=of_missing,
        missing_tenants=missing,
        cost=estimate(requests, sum(each.to_copy_bytes for each in planned), services.prices),
        request_metrics_dollars=metrics_dollars(len(planned), services.prices) if has_metrics else None,
        kept_versions=describe_kept_versions(services.control, buckets),
    )


def make_saved_plan(services: Services, made: Plan) -> SavedPlan:
    """Return the saved form of a plan, for `--save`."""
    shown = {leaf: value for leaf, value, _ in config.effective_settings(services.settings)}
    endpoint = str(services.control.client.meta.endpoint_url)
    return SavedPlan(
        made_at=datetime.now(UTC),
        database=services.ledger.database(),
        shared_buckets=services.settings.require_shared_buckets(),
        settings={leaf: shown[leaf] for leaf in SETTINGS} | {"endpoint_url": endpoint},
        tenants=tuple(
            PlannedTenant(
                slug=each.slug,
                tenant_id=each.tenant_id,
                is_active=each.is_active,
                home_bucket=each.home_bucket,
                documents=each.documents_total,
                to_copy=each.to_copy,
                to_copy_bytes=each.to_copy_bytes,
                problems=dict(Counter(found.code for found in each.quarantined)),
            )
            for each in made.tenants
        ),
    )


def refuse_unplanned(services: Services, made: Plan, planned: SavedPlan, name: str) -> None:
    """Raise Refused, with every difference, if `made` has something that is not in the saved plan `planned` in the file `name`."""
    found = differences(planned, make_saved_plan(services, made))
    if found:
        raise Refused(
            f"the plan in {name} differs from what would be done now: {describe(found)}",
            hint=f"`rehouse plan` shows what would be done now; if that is right, save it with `rehouse plan --save {quote(name)}` "
            "and run the same command again",
            subject=name,
        )


def _totals(tenants: Sequence[TenantPlan], copies_a_second: float) -> Totals:
    standings = sum((each.standings for each in tenants), Counter[Standing]())
    return Totals(
        tenants_total=len(tenants),
        inactive=sum(not each.is_active for each in tenants),
        documents_total=sum(each.documents_total for each in tenants),
        standings=standings,
        faults=sum(len(each.quarantined) for each in tenants) - standings[Standing.QUARANTINED],
        to_copy=standings[Standing.TO_COPY],
        to_copy_bytes=sum(each.to_copy_bytes for each in tenants),
        seconds=sum(each.seconds for each in tenants),
        copies_a_second=copies_a_second,
    )


def _problems(tenants: Sequence[TenantPlan]) -> list[Problem]:
    """Return the kinds of problem, the most frequent first."""
    found: dict[str, list[tuple[str, QuarantinedDocument]]] = {}
    for tenant in tenants:
        for each in tenant.quarantined:
            found.setdefault(each.code, []).append((tenant.slug, each))
    problems = [
        Problem(
            reason,
            len(documents),
            len({slug for slug, _ in documents}),
            documents[0][1].hint,
            [Example(slug, it.document_id, it.bucket, it.key, it.message) for slug, it in documents[:EXAMPLES]],
        )
        for reason, documents in found.items()
    ]
    return sorted(problems, key=lambda each: (-each.documents_affected, each.code))


def _orphans(services: Services, buckets: Iterable[str]) -> list[Orphan]:
    inventory = services.ledger.inventory()
    return [Orphan(bucket, key, size) for bucket in buckets for key, size in inventory.orphans(bucket)]


class _DecidedDocument(NamedTuple):
    """A document, with what a migration has to do for it, or why that could not be found out."""

    seen: SurveyedDocument
    decision: Decision | Fault


def _plan_tenant(services: Services, tenant: Tenant) -> TenantPlan:
    migration = services.ledger.migration(tenant) or stand_in_migration(tenant, services.settings)
    documents = services.ledger.documents(migration)
    counts, places = documents.counts(), services.places(migration.home_bucket)
    is_home_there = is_at_least(migration.phase, Phase.PROVISIONED) or (
        migration.home_bucket == tenant.home and services.control.head(migration.home_bucket).whose != "absent"
    )
    standings = Counter({Standing.NO_KEY: counts.without_key, Standing.AT_HOME: counts.at_home})
    quarantined: list[QuarantinedDocument] = []
    to_copy_bytes = tiered = 0
    for page in documents.pages_outside(services.settings.batch_size):
        services.stop_here()
        decided = _decide(services, page, places, is_home_there=is_home_there)
        standings.update(each.decision.standing for each in decided if isinstance(each.decision, Decision))
        to_copy = [each.seen.source for each in decided if each.seen.source and _is_to_copy(each.decision)]
        to_copy_bytes += sum(source.size for source in to_copy)
        tiered += sum(source.storage_class == TIERED_CLASS for source in to_copy)
        quarantined += [found for each in decided if (found := _quarantined_document(each, places))]
        services.report(Progress(tenant.slug, "plan", sum(standings.values()), counts.total))
    services.report(Progress(tenant.slug, DONE))
    problem, hint, notes = _find_problem(services, tenant)
    requests = requests_for(standings[Standing.TO_COPY])
    return TenantPlan(
        slug=tenant.slug,
        tenant_id=tenant.id,
        is_active=tenant.is_active,
        home_bucket=_home_to_show(services, tenant),
        documents_total=counts.total,
        standings=standings,
        to_copy_bytes=to_copy_bytes,
        quarantined=quarantined,
        requests=requests,
        cost=estimate(requests, to_copy_bytes, services.prices),
        seconds=standings[Standing.TO_COPY] / _copies_a_second(services),
        tiered=tiered,
        problem=problem,
        hint=hint,
        notes=notes,
    )


def _copies_a_second(services: Services) -> float:
    return min(services.settings.max_rate or COPIES_A_SECOND, COPIES_A_SECOND)


def _find_problem(services: Services, tenant: Tenant) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Return why `migrate` would refuse the tenant, with a hint, and notes about what could not be checked."""
    if home_of(tenant, services.settings, services.ledger.migration(tenant)):
        return None, None, ()
    try:
        return None, None, refuse_earlier_home(services.settings, services.control, services.ledger, tenant)
    except Refused as error:
        return error.message, error.hint, ()


def _decide(
    services: Services, page: Sequence[SurveyedDocument], places: Places, *, is_home_there: bool
) -> list[_DecidedDocument]:
    window = timedelta(seconds=services.settings.upload_window_seconds)
    looked, faults = survey.head_missing_sources(services, page, places)
    if is_home_there:
        looked, more = survey.head_only_copies(services, looked, places)
        faults |= more
    decided = []
    for each in name_near_objects(services, looked, places, faults):
        # Check only the homes of documents without a source; for the others the ledger is reliable.
        trusted = replace(each, recorded_now=each.recorded is not None and each.source is not None)
        decision = decide(trusted, places, now=datetime.now(UTC), upload_window=window)
        decided.append(_DecidedDocument(each, faults.get(each.document.id, decision)))
    return decided


def _is_to_copy(decision: Decision | Fault) -> bool:
    return isinstance(decision, Decision) and decision.standing is Standing.TO_COPY


def _quarantined_document(each: _DecidedDocument, places: Places) -> QuarantinedDocument | None:
    source = places.source_of(each.seen.document)
    where = each.seen.document.id, source.bucket, source.key
    if isinstance(each.decision, Fault):
        return QuarantinedDocument(
            *where, each.decision.code, each.decision.message, "`rehouse doctor` checks the rights"
        )
    reason, detail = each.decision.reason, each.decision.detail
    return QuarantinedDocument(*where, reason, detail, HINTS[reason]) if reason else None


def _home_to_show(services: Services, tenant: Tenant) -> str:
    home = home_of(tenant, services.settings, services.ledger.migration(tenant))
    if home:
        return home
    ending = namespace(services.settings, services.control.identity().account)
    return bucket_name(services.settings.bucket_prefix, tenant.label, NOT_RESERVED, namespace=ending)
