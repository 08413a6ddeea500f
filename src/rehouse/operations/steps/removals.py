"""Remove the sources of a tenant's documents in batches, and put a source back if a row still points to it.

For each batch, rehouse checks rows and homes, commits `removing`, checks the sources, removes them on the condition of their ETag,
and commits `removed`. A run that is killed in between leaves `removing`; the next run checks whether the source still exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import NamedTuple

from rehouse.core.copies import is_listing_cheaper
from rehouse.core.errors import StorageRefused
from rehouse.core.lifecycle import DocumentState, Event, Phase, Status
from rehouse.core.model import CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.progress import Progress
from rehouse.core.removals import (
    HINTS,
    NOT_PUT_BACK,
    FlippedDocument,
    Verdict,
    detail_of,
    judge,
    judge_beside_others,
    may_be_put_back,
)
from rehouse.ledger.removals import Candidate, Removals, SharedSources
from rehouse.operations.services import Services
from rehouse.operations.steps.survey import head_all, list_home
from rehouse.s3.buckets.delete_objects import remove
from rehouse.s3.faults import ACCESS_DENIED, NO_SUCH_BUCKET, PRECONDITION_FAILED, way_out

BATCH = 500
"""How many documents are removed at once, which is how many a killed run leaves to be checked again."""
AGAIN = "run the same command again"


class KeptSource(NamedTuple):
    """A source that needs attention: why it stays (or could not be put back), and a hint."""

    document_id: str
    source: ObjectRef
    code: str
    message: str
    hint: str


@dataclass
class RemovalPass:
    """One pass over a tenant's sources. `migration` moves to `released` before the first removal; sizes are bytes.

    `changed`: the sources that were written since they were copied, by document; a sweep must copy them. `reason`: the reason for
    the release, for the history. `final`: remove sources even if that destroys their only version. For sources that several
    documents share, `settled`: all of their documents were judged; `needed`: they must stay for one of these.
    """

    services: Services
    migration: Migration
    subject: str
    grace: timedelta
    sharing: SharedSources
    reason: str | None = None
    final: bool = False
    total: int = 0
    is_home_listed: bool = False
    removed: int = 0
    removed_bytes: int = 0
    changed: dict[str, ObjectRef] = field(default_factory=dict)
    put_back: int = 0
    left: list[KeptSource] = field(default_factory=list)
    settled: set[ObjectRef] = field(default_factory=set)
    needed: set[ObjectRef] = field(default_factory=set)

    @property
    def room(self) -> Removals:
        """The ledger's part of the pass."""
        return self.services.ledger.of(self.migration, Removals)


def remove_sources(run: RemovalPass, *, dry_run: bool = False) -> None:
    """Remove every source that may be removed; with `dry_run` only count them. `left` has those that stay unexpectedly."""
    _look_at_home(run)
    for page in run.room.candidates(run.grace, BATCH):
        run.services.stop_here()
        going, staying, left = _judge_page(run, page)
        run.left += left
        if not dry_run:
            _record_stays(run, staying, left)
        if dry_run:
            run.removed += len(going)
            run.removed_bytes += sum(each.flipped.source_size for each in going)
        else:
            _settle_unfinished(run, [each for each in staying if each.state is DocumentState.REMOVING])
            if going:
                _remove(run, going)
        step, failed = "look" if dry_run else "remove", len(run.left)
        run.services.report(Progress(run.subject, step, run.removed, run.total, documents_failed=failed))


def put_back(run: RemovalPass) -> None:
    """Put back removed sources to which a row points, from the home, if the object there is still the copy."""
    for page in run.room.removed_sources(BATCH):
        run.services.stop_here()
        pointed = run.room.find_pointed_at({each.flipped.source for each in page})
        wanted = [each.flipped for each in page if each.flipped.source in pointed]
        before = len(run.left)
        if wanted:
            _put_back(run, wanted)
        _record_stays(run, page, run.left[before:])


def is_any_needed_again(run: RemovalPass) -> bool:
    """Return whether a row points to a source that was removed."""
    return any(
        run.room.find_pointed_at({each.flipped.source for each in page}) for page in run.room.removed_sources(BATCH)
    )


def _look_at_home(run: RemovalPass) -> None:
    """List the home if that takes fewer requests than a HEAD for each document; else each page sends its own HEADs."""
    counts, documents = run.room.counts(run.grace), run.services.ledger.documents(run.migration).counts()
    run.total = counts.old_enough
    run.is_home_listed = counts.old_enough > 0 and is_listing_cheaper(counts.old_enough, documents.at_home)
    if run.is_home_listed:
        list_home(run.services, run.migration.home_bucket)


def _record_stays(run: RemovalPass, page: Sequence[Candidate], left: Sequence[KeptSource]) -> None:
    """Record which sources of the page stay and why, so that every command counts exactly these."""
    told = {each.document_id for each in left}
    settled = [each.flipped.document_id for each in page if each.is_marked and each.flipped.document_id not in told]
    if left or settled:
        run.services.keep_locks()
        run.room.record_stays((each.document_id, Fault(each.code, each.message)) for each in left)
        run.room.clear_stays(settled)


def _judge_page(
    run: RemovalPass, page: Sequence[Candidate]
) -> tuple[list[Candidate], list[Candidate], list[KeptSource]]:
    """Return the documents whose sources may be removed, the others, and those of these that stay unexpectedly."""
    going, staying, left = [], [], []
    looked_at = _look_at_page(run, page)
    _judge_sharing(run, looked_at)
    shared_buckets = run.services.settings.require_shared_buckets()
    for each in looked_at:
        verdict = judge_beside_others(each.flipped, shared_buckets, run.needed)
        if verdict is Verdict.MAY_GO:
            going.append(each)
            continue
        staying.append(each)
        if verdict is not Verdict.WAITING:
            detail = detail_of(each.flipped, verdict)
            left.append(KeptSource(each.flipped.document_id, each.flipped.source, verdict, detail, HINTS[verdict]))
    return going, staying, left


def _judge_sharing(run: RemovalPass, page: Sequence[Candidate]) -> None:
    """Find which sources of a page must stay for other documents that share them, on this page or on another.

    Each source is judged once in a pass, with all of its documents, before it can be removed for the first of them.
    """
    ids = {each.flipped.document_id for each in page}
    sources = {each.flipped.source for each in page if each.flipped.document_id in run.sharing.ids} - run.settled
    if not sources:
        return
    _note_needed(run, page)
    for others in run.room.candidates_of(sources, run.grace, BATCH):
        _note_needed(run, _look_at_page(run, [each for each in others if each.flipped.document_id not in ids]))
    run.settled |= sources


def _note_needed(run: RemovalPass, looked_at: Sequence[Candidate]) -> None:
    shared_buckets = run.services.settings.require_shared_buckets()
    run.needed |= {
        each.flipped.source
        for each in looked_at
        if each.flipped.document_id in run.sharing.ids and judge(each.flipped, shared_buckets) is not Verdict.MAY_GO
    }


def _look_at_page(run: RemovalPass, page: Sequence[Candidate]) -> list[Candidate]:
    due = [each.flipped for each in page if each.flipped.is_old_enough and each.flipped.fault is None]
    pointed = run.room.find_pointed_at({each.source for each in due})
    rowless = {each.flipped.document_id for each in page if each.is_row_gone}
    homes, faults = _look_at_homes(
        run, {each.target for each in due if each.points_to_target or each.document_id in rowless}
    )
    lost = [
        each for each in due if each.document_id in rowless and not (homes.get(each.target) or each.target in faults)
    ]
    deleted, gone, more = _look_at_lost(run, lost)
    faults |= more
    return [
        each._replace(
            flipped=replace(
                each.flipped,
                is_pointed_at=each.flipped.source in pointed or each.flipped.document_id in run.sharing.waited_for,
                home=homes.get(each.flipped.target),
                home_fault=faults.get(each.flipped.target),
                is_row_gone=each.is_row_gone,
                home_was_deleted=each.flipped.target in deleted,
                is_source_gone=each.flipped.source in gone,
            )
        )
        for each in page
    ]


def _look_at_lost(
    run: RemovalPass, lost: Sequence[FlippedDocument]
) -> tuple[set[ObjectRef], set[ObjectRef], dict[ObjectRef, Fault]]:
    """Check documents with neither a row nor an object at home.

    Return the homes with a delete marker, the sources that do not exist either, and the homes that could not be checked.
    """
    if not lost:
        return set(), set(), {}
    heads = list(run.services.bulk.head({each.target for each in lost}))
    run.services.stop_here()
    deleted = {head.ref for head in heads if head.was_deleted or head.object}
    faults = {head.ref: head.fault for head in heads if head.fault}
    found, _ = head_all(run.services, {each.source for each in lost if each.target not in deleted | faults.keys()})
    return deleted, {ref for ref, there in found.items() if there is None}, faults


def _look_at_homes(
    run: RemovalPass, refs: set[ObjectRef]
) -> tuple[dict[ObjectRef, ListedObject | None], dict[ObjectRef, Fault]]:
    if not run.is_home_listed:
        return head_all(run.services, refs)
    known = run.services.ledger.inventory().find_known(run.migration.home_bucket, [ref.key for ref in refs])
    return {ref: known[ref.key].object for ref in refs if ref.key in known}, {}


def _settle_unfinished(run: RemovalPass, killed: Sequence[Candidate]) -> None:
    """Settle sources that a killed run was removing and that must now stay: those that may still exist keep their fault."""
    if not killed:
        return
    found, faults = head_all(run.services, {each.flipped.source for each in killed})
    gone = {ref for ref, there in found.items() if there is None}
    run.services.keep_locks()
    run.room.mark_removed([each.flipped.document_id for each in killed if each.flipped.source in gone])
    staying = [each.flipped for each in killed if each.flipped.source not in gone]
    unseen = [each for each in staying if each.source in faults and each.fault is None]
    run.room.keep((each.document_id, faults[each.source]) for each in unseen)
    run.room.keep_unfinished([each.document_id for each in staying])


def _remove(run: RemovalPass, going: Sequence[Candidate]) -> None:
    run.services.keep_locks()
    if run.migration.phase is Phase.CUT_OVER:
        run.migration = run.services.ledger.advance(run.migration, Event.SOURCES_RELEASED, run.reason)
    run.room.mark_removing([each.flipped.document_id for each in going])
    found, faults = head_all(run.services, {each.flipped.source for each in going})
    etags = {
        each.flipped.source: each.flipped.source_etag
        for each in going
        if (there := found.get(each.flipped.source)) and there.etag == each.flipped.source_etag
    }
    gone = {ref for ref, there in found.items() if there is None}
    run.services.keep_locks()  # check again, so that a process that was paused does not remove anything late
    for bucket in sorted({ref.bucket for ref in etags}):
        wanted = {ref.key: str(etag) for ref, etag in etags.items() if ref.bucket == bucket}
        for key, fault in remove(run.services.control, bucket, wanted):
            if fault is None:
                gone.add(ObjectRef(bucket, key))
            elif fault.code != PRECONDITION_FAILED:
                faults[ObjectRef(bucket, key)] = fault
    _record(run, going, gone, faults)


def _record(run: RemovalPass, going: Sequence[Candidate], gone: set[ObjectRef], faults: dict[ObjectRef, Fault]) -> None:
    """Record a batch: removed, failed, or written since (then left to the sweep, or superseded)."""
    removed = [each.flipped for each in going if each.flipped.source in gone]
    failed = [(each.flipped, faults[each.flipped.source]) for each in going if each.flipped.source in faults]
    changed = [each for each in going if each.flipped.source not in gone | faults.keys()]
    run.services.keep_locks()
    run.room.mark_removed([each.document_id for each in removed])
    run.room.keep((each.document_id, fault) for each, fault in failed)
    run.room.keep((each.flipped.document_id, None) for each in changed if not each.is_row_gone)
    run.room.supersede(each.flipped.document_id for each in changed if each.is_row_gone)
    run.removed += len(removed)
    run.removed_bytes += sum(each.source_size for each in removed)
    run.changed |= {each.flipped.document_id: each.flipped.source for each in changed if not each.is_row_gone}
    refused = [fault for _, fault in failed if fault.code == ACCESS_DENIED]
    if refused and len(refused) == len(going) and not run.removed:
        raise StorageRefused(
            f"{run.subject}: every removal was refused: {refused[0].message}",
            hint="`rehouse iam-policy --role finish` prints the rights that are needed",
            code=ACCESS_DENIED,
            subject=run.subject,
        )
    run.left += [
        KeptSource(each.document_id, each.source, fault.code, fault.message, _way_out(fault.code))
        for each, fault in failed
    ]


def _way_out(code: str) -> str:
    return AGAIN if code in {PRECONDITION_FAILED, "InvalidKey"} else way_out(code, AGAIN)


def _put_back(run: RemovalPass, wanted: Sequence[FlippedDocument]) -> None:
    wanted = _skip_dropped(run, wanted)
    sources, source_faults = head_all(run.services, {each.source for each in wanted})
    homes, home_faults = head_all(run.services, {each.target for each in wanted})
    tasks = {}
    for each in wanted:
        home = homes.get(each.target)
        if sources.get(each.source):
            continue  # something was uploaded there, so the row has an object
        if home and may_be_put_back(replace(each, home=home)) and each.source not in source_faults:
            tasks[each.source] = CopyTask(
                each.document_id, each.target, home.etag, home.size, home.storage_class, each.source
            )
        else:
            fault = source_faults.get(each.source) or home_faults.get(each.target)
            _note_not_put_back(run, each.document_id, each.source, fault)
    refused = []
    for outcome in run.services.engine.copy(tasks.values()):
        task = outcome.task
        if outcome.fault is None and outcome.etag:
            run.services.keep_locks()
            run.room.put_back(task.document_id, outcome.etag, task.size)
            run.put_back += 1
        elif outcome.fault and outcome.fault.code == PRECONDITION_FAILED:
            refused.append(task)
        elif outcome.fault:
            _note_not_put_back(run, task.document_id, task.target, outcome.fault)
    run.services.stop_here()
    there, faults = head_all(run.services, {task.target for task in refused})
    for task in refused:
        if not there.get(
            task.target
        ):  # else it was uploaded meanwhile; here the object in the tenant's bucket was overwritten
            _note_not_put_back(run, task.document_id, task.target, faults.get(task.target))


def _skip_dropped(run: RemovalPass, wanted: Sequence[FlippedDocument]) -> list[FlippedDocument]:
    """Return the documents whose shared bucket was not removed; record a fault for the others."""
    dropped = run.services.settings.dropped_buckets
    for each in wanted:
        if each.source.bucket in dropped:
            fault = Fault(NO_SUCH_BUCKET, f"the shared bucket {each.source.bucket} was removed")
            _note_not_put_back(run, each.document_id, each.source, fault)
    return [each for each in wanted if each.source.bucket not in dropped]


def _note_not_put_back(run: RemovalPass, document_id: str, source: ObjectRef, fault: Fault | None) -> None:
    why = fault.message if fault else "the object in the tenant's bucket is no longer the one that was copied"
    message = f"a row points to it, but it was removed and could not be put back: {why}"
    run.left.append(KeptSource(document_id, source, NOT_PUT_BACK, message, HINTS[NOT_PUT_BACK]))


def has_nothing_to_do(run: RemovalPass) -> bool:
    """Return whether no source is old enough, none has to be put back and the phase does not change.

    Then no row changes, except that the row of a tenant whose run was killed is closed.
    """
    if run.migration.status is Status.IN_PROGRESS:
        return False
    counts = run.room.counts(run.grace)
    return not (counts.old_enough or counts.marked or is_last_removal(run) or is_any_needed_again(run))


def is_last_removal(run: RemovalPass) -> bool:
    """Return whether the last source is removed and nothing is outstanding, but the phase is not `finished` yet."""
    counts, documents = run.room.counts(run.grace), run.services.ledger.documents(run.migration).counts()
    is_all_home = documents.outside <= documents.accepted and not counts.not_moved
    return is_all_home and not counts.left and not run.left and run.migration.phase is not Phase.FINISHED
