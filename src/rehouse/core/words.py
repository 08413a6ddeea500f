"""The words that rehouse uses in a sense of its own, as help and docs explain them."""

from __future__ import annotations

WORDS = {
    "home": "the bucket that is the tenant's own, tenants.aws_bucket_name; new uploads go there from the cutover on",
    "source": "the object in the shared bucket that a document was copied from; it stays until finish",
    "flip": "a row is changed from its source to the copy at home, while it is locked and both are known to be the same",
    "sweep": "a later run of migrate over a tenant that was cut over: it moves what arrived in the shared bucket since",
    "late write": "an object written at a source after its document was flipped, by somebody who had read the pointer before",
    "grace": "how long after the flip the old pointer may still be in use (grace_days, 7); no source goes sooner",
    "quarantine": "a document that must not be copied as it stands, with the reason; it stays behind, the others move",
    "skipped": "a document without a file: its row has no key, so there is nothing to move",
    "orphan": "an object that no row points to; nobody moves or removes it",
}
