"""Verify: is every document of the tenant where its row says, and is it the same object?

`verify` reads and changes nothing; it works before anything was migrated, and before `init`. `check_copies` is the step
inside `migrate`: a copy that does not hold goes back to copying.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rehouse.core.bucket_spec import Drift
from rehouse.core.comparing import Comparison, Expected, Finding, Proof, compare, merge
from rehouse.core.model import ListedObject, Migration, ObjectRef, Tenant
from rehouse.core.planning import Reason, Standing, decide
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.core.progress import Progress
from rehouse.ledger.documents import AtHome
from rehouse.operations import survey
from rehouse.operations.deep import Pair, compare_deeply
from rehouse.operations.home_bucket import drift
from rehouse.operations.homes import home_of, unreserved
from rehouse.operations.services import Services

TEMPORARY_PREFIX = "temp/"
REPORTED_EVERY = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """A document that is not well: where it should be, what was found (`missing`, `different`, …), and a sentence."""

    document_id: str
    bucket: str
    key: str
    finding: str
    detail: str


@dataclass
class VerifyReport:
    """What was found of a tenant. `same` counts documents by what proves them; `extra` are objects that no row points to."""

    slug: str
    bucket: str | None
    same: Counter[Proof] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    not_yet_migrated: int = 0
    not_uploaded: int = 0
    accepted: int = 0
    without_key: int = 0
    extra: list[str] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)

    def count(self, finding: Finding) -> int:
        """Return how many documents have this finding."""
        return sum(1 for problem in self.problems if problem.finding == finding)

    @property
    def is_well(self) -> bool:
        """Whether every document is at home (or stays elsewhere on purpose) and nothing is in doubt."""
        return not (self.problems or self.not_yet_migrated or self.not_uploaded) and all(
            each.kind == "not_offered" for each in self.drift
        )


def verify(services: Services, tenant: Tenant, *, deep: bool = False, listed: bool = False) -> VerifyReport:
    """Compare every document of the tenant with its object; `deep` reads the bytes of both sides as well.

    `listed`: the shared buckets are in the inventory already (verify-all lists them once).
    """
    migration = services.ledger.migration(tenant) or unreserved(tenant, services.settings)
    home = home_of(tenant, services.settings, migration)
    report = VerifyReport(tenant.slug, home)
    _verify_outside(services, migration, report, listed=listed)
    if home:
        _verify_home(services, migration, report, deep=deep)
        report.drift = list(drift(services.settings, services.control, tenant, home))
    return report


def _verify_home(services: Services, migration: Migration, report: VerifyReport, *, deep: bool) -> None:
    documents = services.ledger.documents(migration)
    pairs: list[Pair] = []
    looked_at = 0
    unexpected: list[str] = []
    for key, rows, found in merge(documents.at_home(), _listing(services, migration.home_bucket)):
        if not rows and not key.startswith(TEMPORARY_PREFIX):
            unexpected.append(key)
        for row in rows:
            comparison = compare(row.expected, found)
            if deep and row.source and found:
                pairs.append(Pair(row.document_id, row.source, ObjectRef(migration.home_bucket, key)))
            else:
                _note(report, migration.home_bucket, key, row, comparison)
        looked_at += len(rows)
        if looked_at % REPORTED_EVERY == 0:
            services.report(Progress(report.slug, "verify", looked_at))
    for pair, comparison in compare_deeply(services, pairs):
        _note(
            report,
            pair.target.bucket,
            pair.target.key,
            AtHome(pair.document_id, Expected(None, None, None), None),
            comparison,
        )
    ours = documents.known_targets(unexpected) if unexpected else set()
    report.extra = [key for key in unexpected if key not in ours]


def _verify_outside(services: Services, migration: Migration, report: VerifyReport, *, listed: bool) -> None:
    documents = services.ledger.documents(migration)
    counts = documents.counts()
    report.without_key = counts.without_key
    if counts.outside and not listed:
        survey.list_for_one_tenant(services, documents)
    places = services.places(migration.home_bucket)
    window = timedelta(seconds=services.settings.upload_window_seconds)
    for page in documents.pages(services.settings.batch_size):
        looked, faults = survey.confirmed(services, page, places)
        for each in looked:
            source = places.source_of(each.document)
            if each.document.id in faults:
                fault = faults[each.document.id]
                problem = Problem(each.document.id, source.bucket, source.key, Finding.COULD_NOT_CHECK, fault.message)
                report.problems.append(problem)
                continue
            decision = decide(each, places, now=datetime.now(UTC), upload_window=window)
            if decision.standing is Standing.QUARANTINED:
                finding = Finding.MISSING if decision.reason is Reason.MISSING_OBJECT else str(decision.reason)
                report.problems.append(Problem(each.document.id, source.bucket, source.key, finding, decision.detail))
            elif decision.standing is Standing.NOT_UPLOADED:
                report.not_uploaded += 1
            elif decision.standing is Standing.ACCEPTED:
                report.accepted += 1
            else:
                report.not_yet_migrated += 1


def _note(report: VerifyReport, bucket: str, key: str, row: AtHome, comparison: Comparison) -> None:
    if comparison.finding is Finding.SAME and comparison.proof:
        report.same[comparison.proof] += 1
    else:
        report.problems.append(Problem(row.document_id, bucket, key, comparison.finding, comparison.detail))


def check_copies(services: Services, migration: Migration, subject: str) -> tuple[Counter[Proof], int]:
    """Compare the copies that wait for the flip with what the home bucket holds; return the proofs and the number dropped."""
    documents = services.ledger.documents(migration)
    waiting, at_home = documents.count_copies()
    if not waiting:
        return Counter(), 0
    few = waiting * LISTED_PER_REQUEST < at_home
    proofs: Counter[Proof] = Counter()
    dropped: list[tuple[str, str | None, Comparison]] = []
    for looked_at, (document_id, found, comparison) in enumerate(_compared(services, migration, few=few), start=1):
        if comparison.finding is Finding.SAME and comparison.proof:
            proofs[comparison.proof] += 1
        else:
            dropped.append((document_id, found.etag if found else None, comparison))
        if looked_at % REPORTED_EVERY == 0:
            services.report(Progress(subject, "verify", looked_at, waiting))
    services.stop_here()
    for document_id, etag, comparison in dropped:
        documents.drop_copy(document_id, etag, "Mismatch", comparison.detail)
    return proofs, len(dropped)


def _compared(
    services: Services, migration: Migration, *, few: bool
) -> Iterator[tuple[str, ListedObject | None, Comparison]]:
    waiting = services.ledger.documents(migration).waiting_copies()
    if few:
        copies = list(waiting)
        found, faults = survey.head_all(services, {ObjectRef(migration.home_bucket, key) for key, _ in copies})
        for key, (document_id, expected) in copies:
            ref = ObjectRef(migration.home_bucket, key)
            if ref not in faults:
                yield document_id, found[ref], compare(expected, found[ref])
        return
    for _, rows, there in merge(waiting, _listing(services, migration.home_bucket)):
        for document_id, expected in rows:
            yield document_id, there, compare(expected, there)


def _listing(services: Services, bucket: str) -> Iterable[ListedObject]:
    for page in services.bulk.list(bucket):
        yield from page
    services.stop_here()


def verify_all(services: Services, tenants: Sequence[Tenant], *, deep: bool = False) -> list[VerifyReport]:
    """Verify every tenant; the shared buckets are listed once."""
    survey.list_shared_buckets(services)
    return [verify(services, tenant, deep=deep, listed=True) for tenant in tenants]
