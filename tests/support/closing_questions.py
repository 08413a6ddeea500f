"""What became of every write to a document, judged from outside: a journal goes in, a fate for each write comes out.

Pure. A place is a bucket and a key; `copied` are the tokens that were found at another place than where they were written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum


@dataclass(frozen=True)
class Write:
    """One upload: where, of what kind, when its pointer was read, when it began and ended (seconds of one clock).

    `is_late`: the row pointed somewhere else by the time it ended.
    """

    document_id: str
    token: str
    bucket: str
    key: str
    kind: str
    read_at: float
    begin: float
    end: float
    is_late: bool = False

    def ended(self, end: float) -> Write:
        """Return it with the time at which it was committed."""
        return replace(self, end=end)

    def late(self, *, is_late: bool) -> Write:
        """Return it, late or not."""
        return replace(self, is_late=is_late)


class Fate(StrEnum):
    """What became of a write."""

    STANDS = "stands"
    CONFLICT = "conflict"
    MOVED = "moved"
    REPLACED = "replaced"
    COVERED = "covered"
    LEFT = "left behind"
    LOST = "lost"


WELL = frozenset({Fate.STANDS, Fate.CONFLICT, Fate.MOVED, Fate.REPLACED})


def fates(
    writes: Sequence[Write],
    standing: Mapping[str, str],
    copied: frozenset[str],
    conflicts: frozenset[str],
    left: frozenset[str] = frozenset(),
) -> dict[str, Fate]:
    """Return the fate of each write by its token. `standing`: document → the token that its row leads to in the end.

    `left`: tokens that are there to this day, at a place that their document left when it was rolled back.

    The first line that fits holds:

    | the write                                                               | fate     |
    |-------------------------------------------------------------------------|----------|
    | its document's row leads to it                                          | stands   |
    | it was told as a conflict                                               | conflict |
    | the application replaced its document after its pointer was read        | replaced |
    | an earlier write at its place stands                                    | lost     |
    | another write at its place came later                                   | covered  |
    | it was found at another place too                                       | moved    |
    | another one of the last at its place (they overlap) is none of the lost | covered  |
    | it is there to this day, at a place that a rollback left                | left     |
    | anything else                                                           | lost     |
    """
    by_place = defaultdict(list)
    for write in writes:
        by_place[write.bucket, write.key].append(write)
    found = {}
    for group in by_place.values():
        found |= _at_one_place(group, writes, standing, copied, conflicts)
    return {token: Fate.LEFT if fate is Fate.LOST and token in left else fate for token, fate in found.items()}


def _at_one_place(
    group: Sequence[Write],
    writes: Sequence[Write],
    standing: Mapping[str, str],
    copied: frozenset[str],
    conflicts: frozenset[str],
) -> dict[str, Fate]:
    stands = [write for write in group if standing.get(write.document_id) == write.token]
    found, last = {}, []
    for write in group:
        if write in stands:
            found[write.token] = Fate.STANDS
        elif write.token in conflicts:
            found[write.token] = Fate.CONFLICT
        elif _is_replaced(write, writes):
            found[write.token] = Fate.REPLACED
        elif any(older.end < write.begin for older in stands):
            found[write.token] = Fate.LOST
        elif any(write.end < later.begin for later in group):
            found[write.token] = Fate.COVERED
        elif write.token in copied:
            found[write.token] = Fate.MOVED
        else:
            last.append(write)
    for write in last:
        beside = (other for other in group if other.begin <= write.end and write.begin <= other.end)
        found[write.token] = Fate.COVERED if any(found.get(other.token) in WELL for other in beside) else Fate.LOST
    return found


def _is_replaced(write: Write, writes: Iterable[Write]) -> bool:
    return any(
        other.kind == "replace"
        and other.document_id == write.document_id
        and other.token != write.token
        and other.end > write.read_at
        for other in writes
    )


def worst_staleness(
    writes: Iterable[Write],
    found: Mapping[str, Fate],
    first_seen: Mapping[str, float],
    sweeps: Sequence[tuple[float, float, str]],
) -> float:
    """Return the longest time in seconds from a late write to a read that saw it, or to the end of the next sweep."""
    worst = 0.0
    for write in writes:
        if write.is_late and found[write.token] in {Fate.STANDS, Fate.MOVED}:
            swept = min((end for begin, end, _ in sweeps if begin > write.end), default=write.end)
            worst = max(worst, min(first_seen.get(write.token, swept), swept) - write.end)
    return worst
