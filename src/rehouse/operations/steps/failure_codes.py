"""The codes of failed documents that `--code` accepts."""

from __future__ import annotations

from rehouse.core.errors import Refused
from rehouse.core.failure_codes import OWN
from rehouse.core.near_names import near_names
from rehouse.ledger.ledger import Ledger
from rehouse.s3 import faults

KNOWN = frozenset({*OWN, *faults.CODES, *faults.HINTS, *faults.PASSING})
"""The codes that rehouse knows. S3 servers send others too; those are in the ledger."""


def refuse_unknown_code(ledger: Ledger, code: str | None) -> None:
    """Raise Refused for a code that rehouse does not know and that no document in the ledger has; None means no code."""
    if code is None or code in KNOWN:
        return
    recorded = ledger.failure_codes()
    if code in recorded:
        return
    near = near_names(code, KNOWN | recorded)
    there = f"the documents that failed have {', '.join(sorted(recorded))}" if recorded else "no document has failed"
    hint = f"did you mean {' or '.join(near)}?" if near else f"{there}; `rehouse status --errors` lists them"
    raise Refused(f"--code {code!r} matches no failed document", hint=hint, subject="command line")
