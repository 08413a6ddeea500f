"""Search columns outside the mapping for keys of documents, because such keys lead to no object after `finish`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from rehouse.config import Settings
from rehouse.core.errors import Refused
from rehouse.core.escaping import count_noun
from rehouse.core.model import Migration
from rehouse.core.near_names import near_names
from rehouse.core.progress import Progress
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.pointers import Column, FoundKeys, Limits, Pointers, Unchecked
from rehouse.operations.checks.check import Check, failure, no_answer, notice, ok
from rehouse.operations.services import Services

KEYS_A_LOOK = 10_000
"""How many keys of a tenant to search for. Reading a table costs the same for one key as for all of them."""
FEWEST_KEYS = 200
"""The least number of keys of each tenant, if there are many tenants."""
KEYS_AT_ONCE = 100_000
"""How many keys to hold in memory; every table is read again for each such set."""

POINTERS_HINT = (
    "once the source is removed, a key in this column leads to no object: correct the application or the rows. If no download "
    "uses the column (an audit table), name the column in finish.ignore_columns (REHOUSE_FINISH_IGNORE_COLUMNS=schema.table.column)"
)
UNCHECKED_HINT = (
    "let the role read it, or raise finish.table_seconds or finish.table_mb, or name it in finish.ignore_columns, or run the same "
    "command with --accept-unchecked"
)


class Mention(NamedTuple):
    """A column outside the mapping, and how many of its rows hold one of the keys."""

    column: str
    rows: int


@dataclass(frozen=True)
class Look:
    """What to search for and, after the search, what was found. `owners`: the tenants (ids) whose keys were searched for.

    `check_all`: search for every key in every row instead of samples. `accept_unchecked`: remove sources even if columns could not
    be searched.
    """

    check_all: bool = False
    accept_unchecked: bool = False
    owners: frozenset[str] = frozenset()
    found: FoundKeys | None = None

    def mentions(self, owner: str) -> list[Mention]:
        """Return the columns that hold keys of this owner, the column with most rows first."""
        rows = self.found.rows if self.found else {}
        held = [Mention(column, counts[owner]) for column, counts in rows.items() if counts[owner]]
        return sorted(held, key=lambda each: (-each.rows, each.column))

    @property
    def unchecked(self) -> list[Unchecked]:
        """The columns that could not be searched, or of which too little was read."""
        return sorted(set(self.found.unchecked)) if self.found else []

    @property
    def in_part(self) -> list[str]:
        """The columns of large tables of which only a sample was read, with the share that was read."""
        return [f"{column} ({share:.2%})" for column, share in sorted(self.found.in_part.items())] if self.found else []


CAREFUL = Look()


def look_through(services: Services, migrations: Sequence[Migration], look: Look, subject: str) -> Look:
    """Search every column outside the mapping for keys of these tenants' sources; return what was found."""
    pointers = Pointers(services.ledger)
    limit = None if look.check_all else max(FEWEST_KEYS, min(KEYS_A_LOOK, KEYS_AT_ONCE // len(migrations)))
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for migration in migrations:
        for key in pointers.sources(migration, limit):
            owners[key].append(str(migration.tenant_id))
    found = look_for(services.ledger, services.settings, owners, _watch(services, subject), check_all=look.check_all)
    return replace(look, owners=frozenset(str(each.tenant_id) for each in migrations), found=found)


def look_for(
    ledger: Ledger,
    settings: Settings,
    owners: Mapping[str, Sequence[str]],
    after_table: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    check_all: bool = False,
) -> FoundKeys:
    """Search every column outside the mapping, except ignored ones, for keys, each with its owners.

    After each table it calls `after_table` with the number of columns done and the number of all columns.
    """
    pointers, chosen = Pointers(ledger), settings.finish
    columns = _drop_ignored(pointers.columns(), chosen.ignore_columns)
    limits = Limits(chosen.table_seconds, None if check_all else chosen.table_mb * 1024**2)
    total = FoundKeys()
    for part in _parts(owners):
        found = FoundKeys()
        for found in pointers.look(columns, part, limits):
            after_table(found.columns + len(found.unchecked), len(columns))
        _add(total, found)
    return total


def _watch(services: Services, subject: str) -> Callable[[int, int], None]:
    def after_table(done: int, total: int) -> None:
        services.stop_here()
        services.report(Progress(subject, "look for keys", done, total))

    return after_table


def _drop_ignored(columns: list[Column], ignored: Sequence[str]) -> list[Column]:
    names = {str(column) for column in columns}
    for name in ignored:
        if name not in names:
            close = near_names(name, names, most=1)
            near = f"did you mean {close[0]}?" if close else "take it out"
            raise Refused(
                f"finish.ignore_columns names {name}, but no column of that name holds text",
                hint=near,
                subject="finish.ignore_columns",
            )
    return [column for column in columns if str(column) not in ignored]


def _parts(owners: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Sequence[str]]]:
    waiting = iter(owners.items())
    while part := dict(islice(waiting, KEYS_AT_ONCE)):
        yield part


def _add(total: FoundKeys, found: FoundKeys) -> None:
    for column, counts in found.rows.items():
        total.rows[column].update(counts)
    total.keys |= found.keys
    total.in_part |= found.in_part
    total.unchecked += found.unchecked
    total.columns = max(total.columns, found.columns)


SUBJECT = "pointers"
_ANY = "document"


def check_pointers(settings: Settings) -> Iterator[Check]:
    """Yield a check for each column that holds keys or could not be searched, and one on what was searched."""
    with closing(Ledger.open(settings, writes=False)) as ledger, translate_errors():
        keys = Pointers(ledger).of_documents(KEYS_A_LOOK)
        look = Look(found=look_for(ledger, settings, {key: [_ANY] for key in keys}))
    for mention in look.mentions(_ANY):
        holding = "1 row holds a key" if mention.rows == 1 else f"{mention.rows:,} rows hold keys"
        told = f"{holding} of documents; a migration does not change this column"
        yield failure(f"{SUBJECT}: {mention.column}", told, POINTERS_HINT)
    for column, reason in look.unchecked:
        yield no_answer(f"{SUBJECT}: {column}", reason, UNCHECKED_HINT)
    if look.in_part:
        yield notice(
            SUBJECT, f"rehouse read only a sample of {', '.join(look.in_part)}", "raise finish.table_mb to read more"
        )
    looked_at = look.found.columns if look.found else 0
    yield ok(
        SUBJECT, f"{count_noun(len(keys), 'key')} searched for in {count_noun(looked_at, 'column')} outside the mapping"
    )
