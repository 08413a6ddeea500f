"""Sweep a tenant whose home is its own bucket: copy home what was written elsewhere, in rounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rehouse.operations.steps.copies import copy
from rehouse.operations.steps.flips import flip
from rehouse.operations.steps.late_writes import sweep_late_writes
from rehouse.operations.steps.proofs import verify_copies
from rehouse.operations.steps.run import Run


def bring_late_writes_home(run: Run) -> Run:
    """Copy home what was written at the sources of documents that were moved before this run."""
    if not run.is_live:
        return run
    late = sweep_late_writes(run.services, run.migration, run.slug, run.source_faults)
    return replace(run, report=run.report.add(late_writes=late.recopied))


def sweep(run: Run) -> Iterator[Run]:
    """Copy, verify and flip documents that are not at home until a round changes nothing; yield the run after each step."""
    while run.has_more_rounds:
        yield (run := copy(run))
        yield (run := verify_copies(run))
        if run.is_proven:
            yield (run := flip(run))
