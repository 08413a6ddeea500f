"""Plan: what would happen, what it costs, what is wrong, before anything changes. Works before `init`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from rehouse.core.archiving import TIERED_CLASS
from rehouse.core.copies import HINTS, Decision, Places, Seen, Standing, decide
from rehouse.core.model import Fault, Tenant, TenantId
from rehouse.core.naming import bucket_name
from rehouse.core.pricing import (
    LISTED_PER_REQUEST,
    CostEstimate,
    Requests,
    estimate,
    metrics_dollars,
    requests_for,
)
from rehouse.core.progress import Progress
from rehouse.operations.buckets.homes import home_of, namespace, stand_in_migration
from rehouse.operations.buckets.shared_versioning import Versioning, kept_versions, versioning_of
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.near_keys import name_near_objects
from rehouse.operations.steps.settling import settle_seconds

COPIES_A_SECOND = 3500
"""What S3 allows for each prefix of a bucket (S3 User Guide, optimizing performance): the time is at best this."""

NOT_RESERVED = "xxxxxxxx"
"""Stands where the eight random characters of a name will be."""

APPLICATION_RULES = (
    "Read s3_bucket and s3_key from the row for every download; a NULL bucket is the first shared bucket.",
    "Upload into tenants.aws_bucket_name, or into the shared bucket where it is NULL, and write both columns.",
    "Use no pointer, cached home or presigned URL longer than the grace period (7 days) after reading it.",
    "Write under a new key and then update the row, or overwrite in place while holding the row's lock (FOR UPDATE, "
    "from reading the pointer to the commit): then no read ever fails or is stale.",
    "Overwrites without the lock, and presigned PUTs granted earlier, are never lost: they become visible after the next sweep; "
    "a write on both sides is reported as a conflict, both versions kept.",
)


class Orphan(NamedTuple):
    """An object of a shared bucket that no row points to; its size in bytes."""

    bucket: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A document that would not be moved: where its row points, the reason, a sentence and the way out."""

    document_id: str
    bucket: str
    key: str
    reason: str
    detail: str
    hint: str


@dataclass
class TenantPlan:
    """What a migration of one tenant would do. Bytes are those of the objects.

    `home_bucket` ends in `xxxxxxxx` if it is not reserved yet. `tiered`: how many of those to copy are in Intelligent-Tiering,
    whose archive tiers no listing shows.
    """

    slug: str
    tenant_id: TenantId
    is_active: bool
    home_bucket: str
    documents: int = 0
    standings: Counter[Standing] = field(default_factory=Counter)
    to_copy_bytes: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)
    requests: Requests = field(default_factory=Requests)
    cost: CostEstimate | None = None
    seconds: float = 0
    tiered: int = 0

    @property
    def to_copy(self) -> int:
        """How many objects a migration would copy."""
        return self.standings[Standing.TO_COPY]


@dataclass
class Plan:
    """The plan of all chosen tenants: totals, what lies in the shared buckets, and what the application must do.

    `left_out`: by bucket how many objects have keys that the database's encoding cannot hold, so no row can point to them.
    """

    tenants: list[TenantPlan]
    shared: dict[str, tuple[int, int]] = field(default_factory=dict)
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
    application_rules: tuple[str, ...] = APPLICATION_RULES

    @property
    def has_findings(self) -> bool:
        """Whether something would not be moved."""
        return any(tenant.quarantined for tenant in self.tenants)


def plan(services: Services, tenants: Sequence[Tenant], *, orphans: bool = False) -> Plan:
    """Return the plan for these tenants. Changes nothing; the shared buckets are listed once."""
    ledger, buckets = services.ledger, services.settings.require_shared_buckets()
    survey.list_shared_buckets(services)
    made = Plan([_plan_tenant(services, tenant) for tenant in tenants])
    made.shared = {bucket: ledger.inventory().totals(bucket) for bucket in buckets}
    made.kept_versions = kept_versions(services.control, buckets)
    made.left_out = {bucket: each.objects for bucket, each in services.left_out.items() if each.objects}
    made.documents_without_tenant = ledger.documents_without_tenant()
    made.versioning_settle_seconds = settle_seconds(services)
    made.shared_versioning = {bucket: versioning_of(services.control, bucket) for bucket in buckets}
    made.documents_of_missing_tenants, made.missing_tenants = ledger.documents_of_missing_tenants()
    if orphans:
        made.orphans = [
            Orphan(bucket, key, size) for bucket in buckets for key, size in ledger.inventory().orphans(bucket)
        ]
    listings = sum(-(-count // LISTED_PER_REQUEST) or 1 for count, _ in made.shared.values())
    requests = sum((tenant.requests for tenant in made.tenants), Requests(lists=listings))
    made.cost = estimate(requests, sum(tenant.to_copy_bytes for tenant in made.tenants), services.prices)
    if services.settings.request_metrics:
        made.request_metrics_dollars = metrics_dollars(len(made.tenants), services.prices)
    return made


def _plan_tenant(services: Services, tenant: Tenant) -> TenantPlan:
    migration = services.ledger.migration(tenant) or stand_in_migration(tenant, services.settings)
    documents = services.ledger.documents(migration)
    counts, places = documents.counts(), services.places(migration.home_bucket)
    planned = TenantPlan(tenant.slug, tenant.id, tenant.is_active, _home_to_show(services, tenant), counts.total)
    planned.standings[Standing.NO_KEY], planned.standings[Standing.AT_HOME] = counts.without_key, counts.at_home
    window = timedelta(seconds=services.settings.upload_window_seconds)
    for page in documents.pages(services.settings.batch_size):
        services.stop_here()
        looked, faults = survey.head_missing_sources(services, page, places)
        for each in name_near_objects(services, looked, places, faults):
            trusted = replace(
                each, recorded_now=each.recorded is not None
            )  # no look at the homes: the ledger's word counts
            decision = decide(trusted, places, now=datetime.now(UTC), upload_window=window)
            _count_decision(planned, each, decision, places, faults.get(each.document.id))
        services.report(Progress(tenant.slug, "plan", sum(planned.standings.values()), counts.total))
    planned.requests = requests_for(planned.to_copy)
    planned.cost = estimate(planned.requests, planned.to_copy_bytes, services.prices)
    planned.seconds = planned.to_copy / min(services.settings.max_rate or COPIES_A_SECOND, COPIES_A_SECOND)
    return planned


def _count_decision(planned: TenantPlan, each: Seen, decision: Decision, places: Places, fault: Fault | None) -> None:
    source = places.source_of(each.document)
    if fault:
        planned.quarantined.append(
            Quarantined(
                each.document.id,
                source.bucket,
                source.key,
                fault.code,
                fault.message,
                "`rehouse doctor` looks at the rights",
            )
        )
        return
    planned.standings[decision.standing] += 1
    if decision.standing is Standing.TO_COPY and each.source:
        planned.to_copy_bytes += each.source.size
        planned.tiered += each.source.storage_class == TIERED_CLASS
    if decision.reason:
        planned.quarantined.append(
            Quarantined(
                each.document.id, source.bucket, source.key, decision.reason, decision.detail, HINTS[decision.reason]
            )
        )


def _home_to_show(services: Services, tenant: Tenant) -> str:
    home = home_of(tenant, services.settings, services.ledger.migration(tenant))
    if home:
        return home
    ending = namespace(services.settings, services.control.identity().account)
    return bucket_name(services.settings.bucket_prefix, tenant.label, NOT_RESERVED, namespace=ending)
