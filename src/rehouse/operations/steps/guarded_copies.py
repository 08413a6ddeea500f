"""Find out whether the condition on its target guards a copy, so that it needs no lock while it is made.

Amazon S3 documents both conditions (CopyObject and CompleteMultipartUpload, `If-Match` and `If-None-Match`). For other endpoints,
a run finds out with a small copy that it sends twice. That shows nothing about copies in parts.
"""

from __future__ import annotations

from rehouse.core.model import CopyOutcome, CopyTask, Fault
from rehouse.operations.services import Services
from rehouse.s3.faults import NOT_IMPLEMENTED, PRECONDITION_FAILED

SMALL_BYTES = 1024 * 1024
NOT_OFFERED = NOT_IMPLEMENTED


def is_guarded(services: Services, task: CopyTask) -> bool:
    """Return whether the endpoint is known to refuse this copy if its target is not what the task expects."""
    known = services.guard.of(task).is_honoured
    if known is False or services.bulk.target_condition_offered is False:
        return False
    if services.control.session.is_aws:
        return True
    return known is True and task.size <= services.settings.multipart_threshold_bytes


def copy_one(services: Services, task: CopyTask) -> CopyOutcome:
    """Copy one object and return the outcome. Raises Interrupted if the run is to stop."""
    outcome = next(iter(services.engine.copy([task])), None)
    if outcome is None:
        services.stop_here()
        return CopyOutcome(task, fault=Fault("IncompleteReply", "S3 gave no answer to the copy"))
    if not outcome.is_guarded or (task.only_guarded and outcome.fault and outcome.fault.code == NOT_OFFERED):
        services.guard.of(task).note_unguarded()
    return outcome


def find_out_guard(services: Services, outcome: CopyOutcome) -> CopyOutcome:
    """Repeat one finished copy, once a run. An endpoint that supports the condition on the target refuses the second copy."""
    task, repeated = outcome.task, outcome
    if outcome.fault or task.size > SMALL_BYTES or outcome.etag == task.replaces_etag:
        return outcome

    def ask() -> bool | None:
        nonlocal repeated
        again = next(iter(services.engine.copy([task])), None)
        if again and again.etag:
            repeated = again
            return False
        return True if again and again.fault and again.fault.code == PRECONDITION_FAILED else None

    services.guard.of(task).find_out(ask)
    return repeated
