"""The codes that rehouse itself gives to documents that failed, and what to do about each."""

from __future__ import annotations

from rehouse.core import copies, late_writes, removals, row_refusals
from rehouse.core.copies import Reason

HINTS = {
    **removals.HINTS,
    **copies.HINTS,
    **late_writes.HINTS,
    **row_refusals.HINTS,
    "PreconditionFailed": "the document was being overwritten: run it again, at a quieter time",
    "SourceChanged": "the document was being overwritten: run it again, at a quieter time",
    "Mismatch": "run it again: rehouse copies the document anew",
    "TagsUnreadable": "set the object's tags once more (`aws s3api put-object-tagging`), then run it again",
    "MetadataUnreadable": "write the object's metadata anew, in ASCII, then run it again",
    "NoSuchKey": "run it again: rehouse then moves the document, or reports it as missing",
    "LockBudget": "run it again; if it fails again, raise lock_budget_ms (REHOUSE_LOCK_BUDGET_MS)",
}
"""What to do about a code of rehouse in the ledger; every other code is one of S3."""
SETTLED_AGAIN = "TargetChanged"
"""A code that the next run resolves."""
OWN = frozenset({*HINTS, *Reason, SETTLED_AGAIN})
"""Every code that is not S3's."""
