"""The lines that close a verification."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rehouse.cli.commands.verify import closing_line, proof_line
from rehouse.core.bucket.spec import Drift
from rehouse.core.comparing import Proof
from rehouse.operations.verify import Problem, VerifyReport

LOST = Problem("1", "home", "k", "missing", "nothing is there")
KEPT = Problem("2", "shared", "k", "missing", "nothing is there", is_quarantined=True)
DRIFT = Drift("versioning", "Enabled", "Suspended", "differs")


def report(**found: Any) -> VerifyReport:
    return VerifyReport("acme", 1, "home", **found)


@pytest.mark.parametrize(
    ("found", "verified", "closing"),
    [
        ({}, "Verified: 0 of 0 documents", "No problems found."),
        (
            {"proofs": Counter({Proof.BYTES: 1448})},
            "Verified: 1,448 of 1,448 documents (by bytes 1,448)",
            "No problems found.",
        ),
        ({"not_yet_migrated": 40}, "Verified: 0 of 40 documents", "40 documents not migrated yet."),
        ({"problems": [KEPT]}, "Verified: 0 of 1 document", "No problems found except 1 document in quarantine."),
        ({"problems": [LOST], "drift": [DRIFT]}, "Verified: 0 of 1 document", "2 problems found."),
        ({"error": "S3 kept failing"}, "Verified: 0 of 0 documents", "1 problem found."),
        (
            {"problems": [LOST], "not_yet_migrated": 1, "not_uploaded": 2},
            "Verified: 0 of 4 documents",
            "1 problem found, 1 document not migrated yet, 2 documents not uploaded yet.",
        ),
    ],
)
def test_a_verification_ends_with_counts(found: dict[str, Any], verified: str, closing: str) -> None:
    assert (proof_line([report(**found)]), closing_line([report(**found)])) == (verified, closing)
