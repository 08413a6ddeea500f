"""The codes of the documents that failed: which of them a person can name."""

from __future__ import annotations

from rehouse.core.errors import Refused
from rehouse.core.failure_codes import OWN
from rehouse.core.near_names import near_names
from rehouse.ledger.ledger import Ledger
from rehouse.s3 import faults

KNOWN = frozenset({*OWN, *faults.CODES, *faults.HINTS, *faults.PASSING})
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
    raise Refused(f"--code {code!r} matches no failed document", hint=hint, subject="command line")
