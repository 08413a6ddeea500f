"""What must be true at the end, judged from outside: of every write to a document, and of a room.

A journal goes in, a fate for each write comes out. A place is a bucket and a key; `copied` are the tokens that were found at
another place than where they were written. The questions about a room are at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.data_room import Room


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


def doubled(room: Room) -> list[str]:
    """Return the objects, where rows point now, that hold what another one there holds and no row leads to; empty is well.

    What the application itself put below `in/` does not count: it leaves objects behind when it replaces or deletes.
    """
    wrong = []
    pointers = set(room.pointers().values())
    for bucket in {bucket for bucket, _ in pointers}:
        there = room.objects(bucket)
        known = {etag for key, etag in there.items() if (bucket, key) in pointers}
        wrong += [
            f"{bucket}/{key}"
            for key, etag in there.items()
            if etag in known and (bucket, key) not in pointers and not key.startswith("in/")
        ]
    return wrong


def unreadable(room: Room) -> list[str]:
    """Return the documents that a reader would not get as they were committed; empty is well."""
    wrong = []
    pointers = room.pointers()
    for document_id, body in room.bodies.items():
        bucket, key = pointers[document_id]
        try:
            answer = room.root.get_object(Bucket=bucket, Key=key)
        except room.root.exceptions.NoSuchKey:
            wrong.append(f"{document_id}: {bucket}/{key} is not there")
            continue
        found = answer["Body"].read()
        if found not in (body, room.late.get(document_id)):
            wrong.append(f"{document_id}: {bucket}/{key} holds {found[:20]!r}, not {body[:20]!r}")
    return wrong


def altered(room: Room) -> list[str]:
    """Return the documents whose object has not the Content-Type, metadata and tags that it was made with; empty is well."""
    from tests.support.data_room import (
        LIKE,  # here: the application's processes import this module, and nothing of rehouse
    )

    wrong = []
    for document_id, (bucket, key) in room.pointers().items():
        head = room.root.head_object(Bucket=bucket, Key=key)
        tags = room.root.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
        kept = head["ContentType"] == LIKE["ContentType"] and LIKE["Metadata"].items() <= head["Metadata"].items()
        if not kept or tags != [{"Key": "kept", "Value": "yes"}]:
            wrong.append(f"{document_id}: {bucket}/{key}: {head['ContentType']}, {head['Metadata']}, {tags}")
    return wrong


def usage(room: Room) -> tuple[int, int]:
    """Return documents and bytes of this month as the usage table has them, with the deltas that nobody folded yet."""
    rows = room.rows(
        "SELECT documents_count + coalesce(p.documents, 0), storage_used_bytes + coalesce(p.bytes, 0) FROM tenant_usage"
        " CROSS JOIN (SELECT sum(documents) AS documents, sum(bytes) AS bytes FROM rehouse_usage_deltas) p"
        " WHERE month = date_trunc('month', now() AT TIME ZONE 'UTC')::date"
    )
    assert len(rows) == 1
    return int(rows[0][0]), int(rows[0][1])


def recount(room: Room) -> tuple[int, int]:
    """Return documents and bytes as the rows claim them."""
    row = room.rows("SELECT count(*), sum(coalesce(nullif(file_size, 0), size)) FROM documents")[0]
    return int(row[0]), int(row[1])
