"""Verify: check that every document of a tenant is where its row points, and that it is the same object.

It only reads, and it works before a migration and before `init`. `migrate` proves its own copies in steps/proofs.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from rehouse.core.bucket.documents import TEMPORARY_PREFIX
from rehouse.core.bucket.spec import Drift
from rehouse.core.comparing import Comparison, Finding, Proof, compare, merge
from rehouse.core.copies import ABSENT, Places, Standing, SurveyedDocument, decide
from rehouse.core.errors import ErrorCode, Failure, Interrupted, RehouseError, early_failure
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Fault, Migration, ObjectRef, Tenant, TenantId
from rehouse.core.pricing import ReadingCost, reading_cost
from rehouse.core.progress import BEGUN, DONE, REPORTED_EVERY, Progress
from rehouse.ledger.copies import ExpectedDocument
from rehouse.ledger.faults import translate_errors
from rehouse.operations.buckets.home_spec import drift
from rehouse.operations.buckets.homes import home_of, stand_in_migration
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.near_keys import name_near_objects
from rehouse.operations.steps.proofs import NO_TAGS, DeepReader, Ends, compare_by_checksum, ends_of
from rehouse.operations.steps.survey import listing

STAYS = frozenset({Standing.NOT_UPLOADED, Standing.ACCEPTED})
"""Standings of documents that a migration would not move in their present state."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A document with a problem: where it should be, what was found (`missing`, `different`, …), and a sentence.

    `is_quarantined`: it was not moved and stays behind. Otherwise it may be lost.
    """

    document_id: str
    bucket: str
    key: str
    finding: str
    message: str
    is_quarantined: bool = False


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result for a tenant. `proofs` counts documents by their proof; `extra` are objects that no row points to.

    `requests` counts requests by kind or operation; `bytes_read` is the size of the objects that were read.
    """

    slug: str
    tenant_id: TenantId
    home_bucket: str | None
    phase: Phase | None = None
    proofs: Counter[Proof] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    not_yet_migrated: int = 0
    not_uploaded: int = 0
    accepted: int = 0
    documents_skipped: int = 0
    extra: list[str] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    not_offered: tuple[str, ...] = ()
    requests: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0
    cost: ReadingCost | None = None
    error: str | None = None
    error_code: ErrorCode | None = None
    hint: str | None = None

    @property
    def failure(self) -> Failure | None:
        """The error that ended the check of the tenant early, as an error about it."""
        return early_failure(self.slug, self.error_code, self.error, self.hint)

    def count(self, finding: Finding) -> int:
        """Return how many documents have this finding."""
        return sum(1 for problem in self.problems if problem.finding == finding)

    @property
    def quarantined(self) -> int:
        """How many documents are in quarantine."""
        return sum(problem.is_quarantined for problem in self.problems)

    @property
    def is_well(self) -> bool:
        """Whether every document is at home (or stays elsewhere on purpose) and was verified."""
        return not self.problems and self.is_well_otherwise

    @property
    def is_well_otherwise(self) -> bool:
        """Whether nothing is wrong except for documents in quarantine."""
        is_complete = not (self.error or self.not_yet_migrated or self.not_uploaded)
        is_conform = all(each.kind == "not_offered" for each in self.drift)
        return is_complete and is_conform and len(self.problems) == self.quarantined


def verify(services: Services, tenant: Tenant, *, deep: bool = False, listed: bool = False) -> VerifyReport:
    """Compare every document of the tenant with its object; `deep` reads the bytes of both sides as well.

    `listed`: the shared buckets are in the inventory already (verify-all lists them once).
    """
    begun = services.ledger.migration(tenant)
    migration = begun or stand_in_migration(tenant, services.settings)
    home, before = home_of(tenant, services.settings, migration), _requests_so_far(services)
    is_there = home is not None and services.control.head(home).whose != "absent"
    outside = _look_outside(services, migration, listed=listed, is_home_there=is_there)
    inside = _compare_home(services, migration, tenant.slug, is_there=is_there, deep=deep) if home else _Inside()
    report = VerifyReport(
        slug=tenant.slug,
        tenant_id=tenant.id,
        home_bucket=home,
        phase=begun.phase if begun else None,
        proofs=inside.same,
        problems=[*outside.problems, *inside.problems],
        not_yet_migrated=sum(count for each, count in outside.standings.items() if each not in STAYS),
        not_uploaded=outside.standings[Standing.NOT_UPLOADED],
        accepted=outside.standings[Standing.ACCEPTED],
        documents_skipped=outside.without_key,
        extra=inside.extra,
        drift=list(drift(services.settings, services.control, tenant, home)) if home and is_there else [],
        not_offered=inside.not_offered,
        bytes_read=inside.read_bytes,
    )
    return _add_cost(services, report, _requests_so_far(services) - before)


def _requests_so_far(services: Services) -> Counter[str]:
    """Return the requests that both planes have sent so far, including retries."""
    return services.bulk.requests + services.control.requests


def _add_cost(services: Services, report: VerifyReport, requests: Counter[str]) -> VerifyReport:
    """Return the report with these requests added."""
    requests = report.requests + requests
    return replace(report, requests=requests, cost=reading_cost(requests, report.bytes_read, services.prices))


@dataclass(frozen=True, slots=True)
class _Inside:
    """The results for rows and objects at home, with the names of VerifyReport."""

    same: Counter[Proof] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    not_offered: tuple[str, ...] = ()
    read_bytes: int = 0


def _compare_home(services: Services, migration: Migration, slug: str, *, is_there: bool, deep: bool) -> _Inside:
    documents, inside = services.ledger.documents(migration), _Inside()
    known: dict[str, tuple[str, ExpectedDocument]] = {}
    doubtful: list[Ends] = []
    unexpected: list[str] = []
    there = (
        listing(services, migration.home_bucket) if is_there else ()
    )  # reserved but not made yet, so it holds nothing
    for looked_at, (key, rows, found) in enumerate(merge(documents.documents_at_home(), there)):
        if not rows and not key.startswith(TEMPORARY_PREFIX):
            unexpected.append(key)
        for row in rows:
            comparison = compare(row.expected, found)
            if row.source and found and (deep or comparison.finding is Finding.COULD_NOT_CHECK):
                known[row.document_id] = key, row
                doubtful.append(ends_of(row, ObjectRef(migration.home_bucket, key), found))
            else:
                _sort(inside, migration.home_bucket, key, row, comparison)
        if looked_at % REPORTED_EVERY == 0:
            services.report(Progress(slug, "verify", looked_at, documents_failed=len(inside.problems)))
    reader = DeepReader(services)
    compared = reader.compare(doubtful) if deep else compare_by_checksum(services.bulk, doubtful).items()
    for document_id, comparison in compared:
        _sort(inside, migration.home_bucket, *known[document_id], comparison)
    ours = documents.known_targets(unexpected) if unexpected else set()
    return replace(
        inside,
        extra=[key for key in unexpected if key not in ours],
        not_offered=() if reader.are_tags_offered else (NO_TAGS,),
        read_bytes=reader.read_bytes,
    )


def _sort(inside: _Inside, bucket: str, key: str, row: ExpectedDocument, comparison: Comparison) -> None:
    if comparison.finding is Finding.SAME and comparison.proof:
        inside.same[comparison.proof] += 1
    else:
        inside.problems.append(Problem(row.document_id, bucket, key, comparison.finding, comparison.detail))


class _Outside(NamedTuple):
    """The results for rows that point elsewhere: problems, and the number of the others by standing."""

    without_key: int
    problems: list[Problem]
    standings: Counter[Standing]


def _look_outside(services: Services, migration: Migration, *, listed: bool, is_home_there: bool) -> _Outside:
    documents, places = services.ledger.documents(migration), services.places(migration.home_bucket)
    counts = documents.counts()
    if counts.outside and not listed:
        survey.list_for_one_tenant(services, documents, counts.outside)
    outside = _Outside(counts.without_key, [], Counter())
    for page in documents.pages_outside(services.settings.batch_size):
        looked, faults = survey.head_missing_sources(services, page, places)
        if is_home_there:
            looked, more = survey.head_only_copies(services, looked, places)
            faults |= more
        for each in name_near_objects(services, looked, places, faults):
            standing = _standing_of(services, each, places, faults.get(each.document.id))
            if isinstance(standing, Problem):
                outside.problems.append(standing)
            else:
                outside.standings[standing] += 1
    return outside


def _standing_of(services: Services, each: SurveyedDocument, places: Places, fault: Fault | None) -> Standing | Problem:
    source, window = places.source_of(each.document), timedelta(seconds=services.settings.upload_window_seconds)
    where = each.document.id, source.bucket, source.key
    if fault:
        return Problem(*where, Finding.COULD_NOT_CHECK, fault.message)
    decision = decide(each, places, now=datetime.now(UTC), upload_window=window)
    if decision.standing is not Standing.QUARANTINED:
        return decision.standing
    is_missing = decision.reason in ABSENT
    finding = Finding.MISSING if is_missing else str(decision.reason)
    return Problem(*where, finding, decision.detail, is_quarantined=True)


def verify_all(services: Services, tenants: Sequence[Tenant], *, deep: bool = False) -> list[VerifyReport]:
    """Verify every tenant; the shared buckets are listed once."""
    before = _requests_so_far(services)
    survey.list_shared_buckets(services)
    listings = _requests_so_far(services) - before
    services.report(Progress("", BEGUN, documents_total=len(tenants)))
    reports = [_try_verify(services, tenant, deep=deep) for tenant in tenants]
    return [_add_cost(services, reports[0], listings), *reports[1:]] if reports else []  # counted once


def _try_verify(services: Services, tenant: Tenant, *, deep: bool) -> VerifyReport:
    try:
        with translate_errors():
            report = verify(services, tenant, deep=deep, listed=True)
    except Interrupted:
        raise
    except RehouseError as error:
        report = VerifyReport(tenant.slug, tenant.id, None, error=error.message, error_code=error.kind, hint=error.hint)
    services.report(Progress(tenant.slug, DONE))
    return report
