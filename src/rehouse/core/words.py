"""The words that rehouse uses in a sense of its own, as help and docs explain them."""

from __future__ import annotations

WORDS = {
    "home": "the tenant's own bucket, named in tenants.aws_bucket_name; new uploads go there from the cutover on",
    "source": "the object in the shared bucket from which a document was copied; it stays until finish removes it",
    "flip": "to point a row to the copy at home; rehouse does it while the row is locked and both objects are known to be the same",
    "sweep": "a later run of migrate for a tenant that is cut over: it moves what arrived in the shared bucket since then",
    "late write": "an object that was written to a source after its document was flipped, by a client with the old pointer",
    "grace": "how long the old pointer may still be in use after the flip (grace_days, 7); finish removes no source before that",
    "quarantine": "the state of a document that must not be copied as it is; it stays behind with the reason, and the others move",
    "skipped": "a document without a file: its row has no key, so there is nothing to move",
    "orphan": "an object that no row points to; rehouse neither moves nor removes it",
}
