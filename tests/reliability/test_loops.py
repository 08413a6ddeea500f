"""A tenant goes there and back again, killed at random all the way, while the application writes between the kills.

The loops ask after each kill whether every document is readable with the bytes committed last; the drills ask whether a
rollback keeps every write made since the cutover.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.closing_questions import unreadable
from tests.support.data_room import Room
from tests.support.killer import Killer
from tests.support.scenes import counted_once

SEED = 20261123
DOCUMENTS = 60
ANYWHERE = ("", 900)
STAGES = {
    "migrate": (ANYWHERE, ("CopyObject", 900), ("The pointers themselves", 60)),
    "rollback": (ANYWHERE, ("CopyObject", 500), ("The pointers themselves", 60)),
    "finish": (ANYWHERE, ("The sources are gone", 20)),
}
"""From which call on a command is killed, and within how many moments."""


def lay_out(room: Room, documents: int) -> None:
    """Many small documents, some rows without a bucket."""
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'A', 'a')")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: room.put_with_metadata(room.shared, f"in/{n}", b"%d" % n), range(documents)))
    for number in range(documents):
        room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "VALUES (%s, 1, 'x', 'x', %s, %s, %s, '2024-01-01')",
            f"d{number}", room.shared if number % 3 else None, f"in/{number}", len(b"%d" % number),
        )  # fmt: skip
        room.bodies[f"d{number}"] = b"%d" % number


def write(room: Room, chance: random.Random, writes: int) -> Counter[str]:
    """The application's day: uploads, overwrites in place, replacements, deletions."""
    done: Counter[str] = Counter()
    for _ in range(writes):
        deed = chance.choice(("upload", "overwrite", "replace", "delete"))
        document_id = chance.choice(sorted(room.bodies))
        body = b"%s %d" % (deed.encode(), chance.getrandbits(40))
        if deed == "upload":
            room.upload(f"u{chance.getrandbits(40)}", body)
        elif deed == "overwrite":
            room.overwrite(document_id, body)
        elif deed == "replace":
            key = f"in/new-{chance.getrandbits(40)}"
            etag = room.put_with_metadata(room.current_home(), key, body)
            change = (
                "UPDATE documents SET s3_bucket = %s, s3_key = %s, etag = %s, size = %s, file_size = 0 WHERE id = %s"
            )
            room.execute(change, room.current_home(), key, etag, len(body), document_id)
            room.bodies[document_id] = body
        elif len(room.bodies) > 5:
            room.execute("DELETE FROM documents WHERE id = %s", document_id)
            del room.bodies[document_id]
        done[deed] += 1
    return done


def until_done(room: Room, chance: random.Random, *command: str, kills: int) -> Counter[str]:
    """Run a command again and again, killed at random up to so many times, then to its end; return the kills by phase."""
    killed: Counter[str] = Counter()
    for _ in range(kills):
        since, within = chance.choice(STAGES[command[0]])
        killer = Killer(chance.randrange(within), since)
        ended = room.command(*command, killer=killer)
        assert ended.status in (0, -signal.SIGKILL), ended
        assert unreadable(room) == [], f"{command} killed at {killer.moments[-1]}"
        if ended.status:
            killed[room.phase()] += 1
    room.done(*command)
    assert unreadable(room) == []
    return killed


def there_and_back(room: Room, chance: random.Random, kills: int) -> Counter[str]:
    """Migrate and roll back with writes in between, until there were so many kills; end with a finish; return them by phase."""
    killed: Counter[str] = Counter()
    while killed.total() < kills:
        killed += until_done(room, chance, "migrate", "a", kills=5)
        write(room, chance, 5)
        killed += until_done(room, chance, "rollback", "a", kills=5)
        write(room, chance, 5)
    killed += until_done(room, chance, "migrate", "a", kills=1)
    killed += until_done(room, chance, "finish", "a", "--after", "0", "--yes", kills=4)
    assert {bucket for bucket, _ in room.pointers().values()} == {room.current_home()} == set(room.homes())
    counted_once(room)
    return killed


@pytest.mark.long
@pytest.mark.sample
def test_a_few_loops(new_room):
    room = new_room()
    lay_out(room, 12)
    assert there_and_back(room, random.Random(SEED), kills=3).total() >= 3


@pytest.mark.sample
@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_a_hundred_loops(part, new_room, figure):
    room = new_room()
    lay_out(room, DOCUMENTS)
    killed = there_and_back(room, random.Random(f"{SEED} {part}"), kills=25)
    assert killed.keys() >= {"provisioned", "cut_over", "rolled_back"}
    phases = ", ".join(f"{phase} {count}" for phase, count in killed.most_common())
    total = killed.total()
    figure(
        "loops", seed=f"{SEED} {part}", killed=total, phases=phases, survived=total, documents=len(room.bodies), lost=0
    )


def drill(room: Room, chance: random.Random) -> Counter[str]:
    """Migrate, let the application write, roll back (killed once), and look for every write."""
    lay_out(room, 10)
    room.done("migrate", "a")
    writes = write(room, chance, 12)
    # A copy made within the second of a write cannot be told from an older one: if the run is killed then, it stays beside.
    time.sleep(1.1)
    until_done(room, chance, "rollback", "a", kills=1)
    assert {bucket for bucket, _ in room.pointers().values()} <= {room.shared}
    counted_once(room)
    return writes


@pytest.mark.sample
@pytest.mark.long
@pytest.mark.parametrize("part", range(4))
def test_rollback_drills(part, new_room, figure):
    chance = random.Random(f"{SEED} drill {part}")
    writes: Counter[str] = Counter()
    for _ in range(5):
        writes += drill(new_room(), chance)
    figure("drills", seed=f"{SEED} drill {part}", drills=5, kept=writes.total(), of=writes.total(), **writes)
