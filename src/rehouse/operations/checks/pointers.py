"""Columns outside the mapping: do they hold keys of documents, which rehouse would leave as they are?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from rehouse.config import Settings
from rehouse.core.escaping import counted
from rehouse.ledger.ledger import Ledger, translating
from rehouse.ledger.pointers import Pointers
from rehouse.operations.checks.check import Check, could_not_check, failed, notice, ok
from rehouse.operations.pointers import KEYS_A_LOOK, POINTERS_HINT, UNCHECKED_HINT, Look, look_for

SUBJECT = "pointers"
_ANY = "document"


def check_pointers(settings: Settings) -> Iterator[Check]:
    """Yield what was found of each column that holds keys or could not be looked at, and what was looked at."""
    with closing(Ledger.open(settings, writes=False)) as ledger, translating():
        keys = Pointers(ledger).of_documents(KEYS_A_LOOK)
        look = Look(found=look_for(ledger, settings, {key: [_ANY] for key in keys}))
    for mention in look.mentions(_ANY):
        holding = "1 row holds a key" if mention.rows == 1 else f"{mention.rows:,} rows hold keys"
        told = f"{holding} of documents; a migration does not change this column"
        yield failed(f"{SUBJECT}: {mention.column}", told, POINTERS_HINT)
    for column, reason in look.unchecked:
        yield could_not_check(f"{SUBJECT}: {column}", reason, UNCHECKED_HINT)
    if look.in_part:
        yield notice(
            SUBJECT, f"only a sample was read of {', '.join(look.in_part)}", "raise finish.table_mb to read more"
        )
    looked_at = look.found.columns if look.found else 0
    yield ok(SUBJECT, f"{counted(len(keys), 'key')} looked for in {counted(looked_at, 'column')} outside the mapping")
