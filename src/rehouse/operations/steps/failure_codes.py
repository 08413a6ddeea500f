"""The codes of the documents that failed: what to do about each, and which of them a person can name."""

from __future__ import annotations

from rehouse.core import copies, late_writes, removals, row_refusals
from rehouse.core.copies import Reason
from rehouse.core.errors import Refused
from rehouse.core.near_names import near_names
from rehouse.ledger.ledger import Ledger
from rehouse.s3 import faults

HINTS = {
    **removals.HINTS,
    **copies.HINTS,
    **late_writes.HINTS,
    **row_refusals.HINTS,
    "PreconditionFailed": "the document was being overwritten: run it again, at a quieter time",
    "SourceChanged": "the document was being overwritten: run it again, at a quieter time",
    "Mismatch": "run it again: it is copied anew",
    "TagsUnreadable": "set the object's tags once more (`aws s3api put-object-tagging`), then run it again",
    "MetadataUnreadable": "write the object's metadata anew, in ASCII, then run it again",
    "NoSuchKey": "run it again: it is then told as missing, or moved",
    "LockBudget": "run it again; if it fails again, raise lock_budget_ms (REHOUSE_LOCK_BUDGET_MS)",
}
"""What to do about a code of the ledger; any other is S3's own."""
SETTLED_AGAIN = "TargetChanged"
"""A code that the next run settles."""
KNOWN = frozenset({*HINTS, *Reason, SETTLED_AGAIN, *faults.CODES, *faults.HINTS, *faults.PASSING})
"""The codes that a document may have. S3 servers send others too: the ledger has those."""


def refuse_unknown_code(ledger: Ledger, code: str | None) -> None:
    """Raise Refused for a code that rehouse does not know and no document of the ledger has; None is no code."""
    if code is None or code in KNOWN:
        return
    recorded = ledger.failure_codes()
    if code in recorded:
        return
    near = near_names(code, KNOWN | recorded)
    there = f"the documents that failed have {', '.join(sorted(recorded))}" if recorded else "no document has failed"
    hint = f"did you mean {' or '.join(near)}?" if near else f"{there}; `rehouse status --errors` lists them"
    raise Refused(f"--code {code!r} is the code of no failure", hint=hint)
