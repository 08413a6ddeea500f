"""An application that never stops, through a whole life of migrations: there, back, there again in two steps, and finished.

One run with writers that keep to the rules: no read fails and none is stale. One with writers that overwrite without the
lock, too: nothing is lost; it comes to light with the next sweep, or is told as a conflict of which both versions are kept.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support.closing_questions import Fate, Write, fates, worst_staleness
from tests.support.live import LATE_WRITERS, READERS, WRITERS, Life

ENOUGH_READS = 10_000
AT_MOST = 4
"""How often everybody goes there and back until enough was seen."""
DEEDS = ("overwrites at home", "replacements", "uploads", "uploads at home", "pending uploads", "deletions", "renamed",
         "given to another tenant", "reads at home", "reads by an old pointer", "homes from memory")  # fmt: skip

WRITES = ("overwrites", "replacements", "uploads", "uploads without a bucket", "pending uploads", "deletions", "renamed",
          "given to another tenant", "late writes", "presigned writes")  # fmt: skip


def new_life(new_room, documents: int, late: int = 0) -> Life:
    life = Life(new_room(), documents, late)
    if late:
        life.keep_versions()
    life.lay_out()
    return life


def all_is_in_its_place(life: Life) -> None:
    """Every row leads into its tenant's own bucket, to its newest version; nothing is there twice, and all is counted."""
    room = life.room
    assert life.phases() == {("finished", "completed")}, life.run("status", "--errors").printed
    homes, now = life.homes(), life.documents_now()
    rows = room.rows("SELECT d.id, d.s3_bucket, d.s3_key, (d.analysis->>'version')::int, t.slug, d.analysis ? 'late' "
                      "FROM documents d JOIN tenants t ON t.id = d.tenant_id WHERE d.analysis->>'version' <> '0'")  # fmt: skip
    assert room.shared not in homes.values()
    assert len(set(homes.values())) == len(homes)
    assert len({row[1:3] for row in rows}) == len(rows) >= life.documents // 2
    assert life.twice(now) == set()
    for document_id, bucket, _, version, slug, is_late in rows:
        assert bucket == homes[slug]
        assert (now[document_id][0], now[document_id][2]) == (document_id, slug)
        assert is_late or int(now[document_id][1]) == version
    slugs = {bucket: slug for slug, bucket in homes.items()}
    assert {slugs[bucket] == lines[2] for bucket, _, lines in life.versions if bucket in slugs} == {True}
    counted = "SELECT tenant_id, count(*), coalesce(sum(coalesce(nullif(file_size, 0), size)), 0)::bigint FROM documents GROUP BY 1"
    said = """
        SELECT tenant_id, sum(documents)::int, sum(bytes)::bigint FROM (
          SELECT tenant_id, documents_count AS documents, storage_used_bytes AS bytes FROM tenant_usage
          WHERE month = date_trunc('month', now() AT TIME ZONE 'UTC')::date
          UNION ALL SELECT tenant_id, documents, bytes FROM rehouse_usage_deltas) u GROUP BY 1"""
    assert sorted(room.rows(said)) == sorted(room.rows(counted))


def no_read_went_wrong(life: Life) -> None:
    assert life.wrong == []
    assert life.seen["stale"] == 0


def judged(life: Life) -> tuple[list[Write], dict[str, Fate]]:
    """Return the journal of the documents that were written late, and what became of every write to them."""
    late = {row[0] for row in life.room.rows("SELECT id FROM documents WHERE analysis ? 'late'")}
    writes = [write for write in life.journal if write.document_id in late]
    standing = {document_id: lines[3] for document_id, lines in life.documents_now().items() if document_id in late}
    places = {write.token: (write.bucket, write.key) for write in writes}
    copied = frozenset(
        lines[3] for bucket, key, lines in life.versions if places.get(lines[3]) not in (None, (bucket, key))
    )
    return writes, fates(writes, standing, copied, frozenset(life.conflicts), life.left_behind())


def told(life: Life, writers: str, became: Counter[Fate], worst: float) -> dict[str, object]:
    """Return the figures of a life; *late* are writes to where the document was no more."""
    written = {deed: count for deed, count in life.seen.items() if deed in WRITES}
    return {
        "writers": writers,
        "commands": len(life.sweeps),
        "reads": life.seen["reads"],
        "of these by an old pointer": life.seen["reads by an old pointer"],
        "failed or stale": len(life.wrong),
        "writes": sum(written.values()),
        "by kind": ", ".join(f"{deed} {count}" for deed, count in sorted(written.items())),
        "late": became.total(),
        "what became of them": ", ".join(f"{fate} {count}" for fate, count in sorted(became.items())) or "-",
        "conflicts told": life.seen["conflicts"],
        "moved out of the way by hand": life.seen["moved out of the way"],
        "lost": became[Fate.LOST],
        "seconds until the last was seen": round(worst, 1),
    }


@pytest.mark.long
@pytest.mark.sample
def test_a_short_life(new_room):
    life = new_life(new_room, 45)
    with life.application(READERS | WRITERS):
        life.run("migrate-all")
        life.run("rollback", "--all")
        life.run("migrate-all")
    no_read_went_wrong(life)
    assert life.seen["reads at home"] > 50
    life.complete()
    all_is_in_its_place(life)
    _, bucket, key = life.rows()[0]
    life.root.copy_object(Bucket=bucket, Key="documents/again", CopySource={"Bucket": bucket, "Key": key})
    assert life.twice(life.documents_now()) == {(bucket, "documents/again")}


@pytest.mark.long
def test_no_read_fails_and_none_is_stale(new_room, figure):
    life = new_life(new_room, 120)
    with life.application(READERS, READERS, WRITERS):
        for _ in range(AT_MOST):
            life.there_and_back()
            if life.so_far()["reads"] > ENOUGH_READS * 2 // 3:
                break
        life.in_two_steps()
        life.finish()
        life.finish()
    no_read_went_wrong(life)
    life.complete()
    all_is_in_its_place(life)
    figure("live writes", **told(life, "by the rules", Counter(), 0.0))
    assert life.seen["reads"] > ENOUGH_READS
    assert min(life.seen[deed] for deed in DEEDS) > 10


@pytest.mark.long
def test_what_is_written_late_is_never_lost(new_room, figure):
    life = new_life(new_room, 90, late=20)
    with life.application(READERS, READERS, WRITERS | LATE_WRITERS):
        for _ in range(2):
            life.there_and_back()
        life.in_two_steps()
        life.finish()
        life.finish()
    no_read_went_wrong(life)
    life.complete()
    all_is_in_its_place(life)
    writes, found = judged(life)
    lost = [write for write in writes if found[write.token] is Fate.LOST]
    late = [write for write in writes if write.is_late]
    became = Counter(found[write.token] for write in late)
    worst = worst_staleness(writes, found, life.first_seen, life.sweeps)
    figure("live writes", **told(life, "without the lock, too", became, worst))
    assert life.cleanup_tells_of_everything()
    assert became[Fate.LEFT] <= len(late) // 4, "what a rollback leaves behind is rare"
    assert not lost, f"{lost}\n" + "\n\n".join(life.story(write.document_id) for write in lost[:3])
    assert len(late) > 10


def at(token: str, begin: float, end: float, kind: str = "late", key: str = "k", bucket: str = "b") -> Write:
    return Write("d", token, bucket, key, kind, begin - 1, begin, end)


@pytest.mark.parametrize(
    ("writes", "copied", "conflicts", "fate"),
    [
        ([], "", "", Fate.LOST),
        ([], "w", "", Fate.MOVED),
        ([], "", "w", Fate.CONFLICT),
        ([at("x", 5, 6)], "x", "", Fate.COVERED),
        ([at("x", 2, 6)], "x", "", Fate.COVERED),
        ([at("x", 2, 6)], "", "", Fate.LOST),
        ([at("s", 0.2, 0.4)], "w", "", Fate.LOST),
        ([at("r", 3, 4, "replace", "other")], "", "", Fate.REPLACED),
        ([at("r", -3, -2, "replace", "other")], "", "", Fate.LOST),
    ],
)
def test_a_lost_write_is_told_from_the_others(writes, copied, conflicts, fate):
    found = fates([at("w", 1, 3), *writes], {"d": "s"}, frozenset(copied), frozenset(conflicts))
    assert found["w"] is fate


def test_what_a_rollback_left_behind_is_not_lost_but_told():
    assert fates([at("w", 1, 3)], {"d": "s"}, frozenset(), frozenset(), frozenset("w")) == {"w": Fate.LEFT}


def test_staleness_ends_with_a_read_or_the_next_sweep():
    late = [at(token, 1, 3).late(is_late=True) for token in "ws"]
    found = {"w": Fate.STANDS, "s": Fate.MOVED}
    sweeps = [(0.0, 2.0, "before"), (4.0, 9.0, "migrate-all")]
    assert worst_staleness(late, found, {"w": 5.0}, sweeps) == 6.0
    assert worst_staleness(late, found, {"w": 5.0, "s": 7.5}, sweeps) == 4.5


def test_the_application_notices_what_is_wrong(new_room):
    life = new_life(new_room, 9)
    with life.application({"read": 1}):
        life.root.put_object(Bucket=life.room.shared, Key="k/red-0", Body=b"red-1\n1\nred\nt\n")
        life.root.put_object(Bucket=life.room.shared, Key="k/red-1", Body=b"red-1\n0\nred\nt\n")
        life.root.delete_object(Bucket=life.room.shared, Key="k/red-2")
        while life.so_far()["reads"] < 60:
            pass
    assert {"mixed up", "stale", "read"} <= {each.split(":")[0] for each in life.wrong}
