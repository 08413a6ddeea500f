"""Pages of a tenant's rows, made ready to be copied: what S3 holds is looked up, then each document is decided on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from rehouse.core.comparing import Finding
from rehouse.core.copies import Decision, Places, Seen, Standing, decide, is_checksum_needed
from rehouse.core.lifecycle import DocumentState, Phase, is_at_least
from rehouse.core.model import CopyTask, Fault, ListedObject, Migration
from rehouse.ledger.documents import Documents, Line
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.checksums import Ends, compare_by_checksum
from rehouse.operations.steps.near_keys import name_near_objects

NOTHING = ListedObject("", "", 0, "", datetime.fromtimestamp(0, UTC))
"""Stands for the source of a document that has none."""


@dataclass
class Tally:
    """What a pass over the tenant's documents found and did; sizes in bytes."""

    standings: Counter[Standing] = field(default_factory=Counter)
    copied: int = 0
    adopted: int = 0
    copied_bytes: int = 0
    failed: int = 0

    @property
    def changed(self) -> int:
        """How many documents have a new copy, or one that was adopted."""
        return self.copied + self.adopted


@dataclass
class Pass:
    """One pass over a tenant's documents; `total` is how many rows are to be looked at, `only` the ones that count (None: all)."""

    services: Services
    documents: Documents
    places: Places
    subject: str
    total: int
    is_home_listed: bool
    only: frozenset[str] | None = None
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def begun(
        cls,
        services: Services,
        migration: Migration,
        subject: str,
        *,
        is_adopted: bool,
        only: frozenset[str] | None = None,
    ) -> Self:
        """Return a new pass; an adopted home was the application's before the migration."""
        is_live = is_adopted or migration.was_live or is_at_least(migration.phase, Phase.CUT_OVER)
        documents = services.ledger.documents(migration)
        known, _ = services.ledger.inventory().totals(migration.home_bucket)
        return cls(
            services,
            documents,
            services.places(migration.home_bucket, is_live=is_live),
            subject,
            documents.counts().outside if only is None else len(only),
            known > 0,
            only,
        )


class Page(NamedTuple):
    """A page that was decided on: what to copy, the documents behind these tasks, and the lines that need no request."""

    tasks: list[CopyTask]
    seen: Mapping[str, Seen]
    lines: list[Line]


def prepared(run: Pass, rows: Sequence[Seen]) -> Page:
    """Look up what no listing showed, then decide on every document of the page."""
    wanted = rows if run.only is None else [each for each in rows if each.document.id in run.only]
    page, faults = survey.confirmed(run.services, _with_claims(run, wanted), run.places)
    page = name_near_objects(run.services, page, run.places, faults)
    if run.is_home_listed:
        page, unproven = with_proofs(run, survey.with_known_targets(run.services, page, run.places))
        faults = {**faults, **unproven}
    return sorted_out(run, page, faults)


def _with_claims(run: Pass, page: Sequence[Seen]) -> list[Seen]:
    """Return the page with what other tenants claim by now: the inventory's mark is as old as the listing."""
    sources = {each.document.id: run.places.source_of(each.document) for each in page}
    claimed = run.documents.claimed_by_others(set(sources.values()))
    return [replace(each, contested=True) if sources[each.document.id] in claimed else each for each in page]


def with_proofs(run: Pass, page: Sequence[Seen]) -> tuple[list[Seen], dict[str, Fault]]:
    """Return the page with the targets marked that a checksum proves to be finished copies, and the HEADs that failed."""
    doubtful = [
        Ends(each.document.id, run.places.source_of(each.document), each.source.etag, target, each.target.etag)
        for each in page
        if each.source and each.target and not each.recorded_now
        if is_checksum_needed(each.source, each.target, each.recorded)
        for target in (run.places.target_of(each.document, each.recorded),)
    ]
    proofs = compare_by_checksum(run.services.bulk, doubtful)
    proven = {document_id for document_id, comparison in proofs.items() if comparison.finding is Finding.SAME}
    faults = {document_id: each.fault for document_id, each in proofs.items() if each.fault}
    return [replace(each, is_proven=True) if each.document.id in proven else each for each in page], faults


def sorted_out(run: Pass, page: Sequence[Seen], faults: Mapping[str, Fault]) -> Page:
    """Decide on every document; one that S3 would not tell about gets a line with the fault."""
    tasks: list[CopyTask] = []
    seen: dict[str, Seen] = {}
    lines: list[Line] = []
    window = timedelta(seconds=run.services.settings.upload_window_seconds)
    now = datetime.now(UTC)
    for each in page:
        if each.document.id in faults:
            lines.append(_unreachable(run, each, faults[each.document.id]))
            continue
        decision = decide(each, run.places, now=now, upload_window=window)
        run.tally.standings[decision.standing] += 1
        if decision.standing is Standing.TO_COPY and decision.task:
            tasks.append(decision.task)
            seen[each.document.id] = each
        elif decision.standing is Standing.ADOPT and decision.task and each.target:
            run.tally.adopted += 1
            lines.append(Line(decision.task, DocumentState.COPIED, target_etag=each.target.etag))
        elif decision.standing is Standing.QUARANTINED:
            lines.append(_quarantined(run.places, each, decision))
    return Page(tasks, seen, lines)


def _quarantined(places: Places, each: Seen, decision: Decision) -> Line:
    assert decision.reason is not None
    task = _as_task(places, each)
    return Line(task, DocumentState.QUARANTINED, code=decision.reason.value, message=decision.detail)


def _unreachable(run: Pass, each: Seen, fault: Fault) -> Line:
    run.tally.failed += 1
    return Line(
        _as_task(run.places, each),
        DocumentState.PLANNED,
        attempts=1,
        code=fault.code,
        message=fault.message,
        request_id=fault.request_id,
    )


def _as_task(places: Places, each: Seen) -> CopyTask:
    found = each.source or NOTHING
    source, target = places.source_of(each.document), places.target_of(each.document, each.recorded)
    return CopyTask(each.document.id, source, found.etag, found.size, found.storage_class, target)
