"""An application that uses only TenantStorage, while its tenants are migrated, rolled back, migrated again and finished.

Commands are killed at random, and so are the application's processes. No read fails or is stale, no deleted document comes back,
and no write is lost: each thread keeps a journal on disk, and the rows and buckets are compared with all journals in the end.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.storage_life import GRACE_SECONDS, SLUGS, StorageLife
from tests.support.storage_workers import DEEDS


def there_and_back(life: StorageLife) -> None:
    life.run("migrate-all")
    life.run("rollback", "--all")


def all_is_in_its_place(life: StorageLife) -> None:
    """Every row holds what its journal says, in its tenant's bucket; the journals name nothing that went wrong."""
    _, wrong, _ = life.journals()
    assert wrong == []
    assert life.differences() == []
    homes = dict(life.room.rows("SELECT slug, aws_bucket_name FROM tenants"))
    assert life.room.shared not in homes.values()
    assert {slug for slug, bucket, key in life.rows().values() if key and bucket != homes[slug]} == set()


def finish(life: StorageLife) -> None:
    """After the application has stopped: a last run, and the removal of the sources."""
    life.finally_run("migrate-all")
    time.sleep(GRACE_SECONDS)
    life.finally_run("finish", "--all", "--yes", "--after", f"{GRACE_SECONDS}s")


@pytest.mark.long
@pytest.mark.sample
def test_a_short_life_under_the_storage(new_room, tmp_path: Path) -> None:
    life = StorageLife(new_room(), tmp_path, processes=2, threads=3)
    with life.application():
        there_and_back(life)
        life.run("migrate-all")
    finish(life)
    all_is_in_its_place(life)
    done = life.journals()[2]
    assert min(done[deed] for deed in DEEDS) > 3, done


@pytest.mark.long
def test_no_write_is_lost_and_no_read_is_stale(new_room, tmp_path: Path, figure) -> None:
    life = StorageLife(new_room(), tmp_path, processes=4, threads=8)
    with life.application():
        there_and_back(life)
        life.run("migrate-all", "--until", "verified")
        for slug in SLUGS:
            life.finally_run("cutover", slug, "--canary", "3")
        life.run("migrate-all")
    finish(life)
    all_is_in_its_place(life)
    done = life.journals()[2]
    assert min(done[deed] for deed in DEEDS) > 50, done
    kills = {f"killed {what}": count for what, count in sorted(life.killed.items())}
    figure(
        "storage under migration", threads=32, calls=sum(done.values()), **kills, **{"failed or stale": 0, "lost": 0}
    )
