"""The command `rollback` as a process of its own, with exactly the rights that `iam-policy` prints for the roles named."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay
from tests.support.independent_check import versions_of

DOCUMENTS = 60
KILLS = 6
SEED = 20261124
COLUMNS = "id, s3_bucket, s3_key, etag, file_size"
_numbers = itertools.count(1)


def with_roles(room: Room, *roles: str) -> Room:
    """Give the command a fresh user with the rights of these roles and no others."""
    done = room.run("iam-policy", *(word for role in roles for word in ("--role", role)))
    assert done.returncode == 0, done.stderr
    room.credentials = room.server.user(f"returner-{next(_numbers)}", json.loads(done.stdout))
    return room


def downloads(room: Room) -> dict[str, bytes]:
    """What the application reads, document by document."""
    root = room.server.root()
    return {
        document_id: root.get_object(Bucket=bucket or room.shared, Key=key)["Body"].read()
        for document_id, bucket, key in room.rows("SELECT id, s3_bucket, s3_key FROM documents ORDER BY id")
    }


def home_of(room: Room) -> str:
    return str(room.rows("SELECT home_bucket FROM s3_migrations")[0][0])


def at_home(room: Room, number: int) -> str:
    return str(room.rows("SELECT s3_key FROM documents WHERE id = %s", str(number))[0][0])


def live_on(room: Room) -> dict[str, bytes]:
    """Do what an application does after a cutover: upload, overwrite, replace, delete, move; return what it has by then."""
    root, home = room.server.root(), home_of(room)
    has = {str(number): b"%d" % number for number in range(DOCUMENTS)}
    for number in range(0, DOCUMENTS, 5):
        has[str(number)] = b"overwritten at home %d" % number
        root.put_object(Bucket=home, Key=at_home(room, number), Body=has[str(number)])
    for number in range(1, DOCUMENTS, 5):
        has[str(number)] = b"replaced by another key %d" % number
        root.put_object(Bucket=home, Key=f"uploads/{number}", Body=has[str(number)])
        room.execute("UPDATE documents SET s3_key = %s WHERE id = %s", f"uploads/{number}", str(number))
    for number in range(2, DOCUMENTS, 10):
        del has[str(number)]
        root.delete_object(Bucket=home, Key=at_home(room, number))
        room.execute("DELETE FROM documents WHERE id = %s", str(number))
    for number in range(DOCUMENTS, DOCUMENTS + 12):
        has[str(number)] = b"uploaded since %d" % number
        root.put_object(Bucket=home, Key=f"new/{number} é+%.pdf", Body=has[str(number)])
        room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size) "
            "VALUES (%s, 1, 'Größe + 1%%.pdf', 'x', %s, %s, 1)",
            str(number),
            home,
            f"new/{number} é+%.pdf",
        )
    return has


def state(room: Room) -> dict[str, Any]:
    return {
        "rows": room.rows(f"SELECT {COLUMNS} FROM documents ORDER BY id"),
        "tenants": room.rows("SELECT id, aws_bucket_name FROM tenants"),
        "migrations": room.rows("SELECT tenant_id, phase, status, run_id FROM s3_migrations"),
        "lines": room.rows("SELECT * FROM s3_migration_documents ORDER BY document_id"),
        "shared": versions_of(room.server.root(), room.shared),
        "home": versions_of(room.server.root(), home_of(room)),
    }


@pytest.fixture
def moved(new_room: Callable[..., Room]) -> Room:
    """A tenant `a` that was moved."""
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    assert room.json("migrate", "a")["this_run"] == DOCUMENTS
    return room


def test_with_the_role_rollback_alone_everything_returns(moved: Room) -> None:
    has, before = live_on(moved), set(versions_of(moved.server.root(), moved.shared))
    home = set(versions_of(moved.server.root(), home_of(moved)))
    with_roles(moved, "rollback")
    foreseen = moved.json("rollback", "a", "--dry-run")["tenants"][0]
    said = moved.json("rollback", "a")
    tenant = said["tenants"][0]
    assert (said["documents_returned"], said["this_run"], said["error_count"]) == (len(has), len(has), 0)
    assert (tenant["status"], tenant["phase"], tenant["still_at_home"]) == ("rolled_back", "rolled_back", 0)
    assert [tenant[key] for key in ("old_pointers", "copied")] == [foreseen[key] for key in ("old_pointers", "copied")]
    assert downloads(moved) == has
    assert {bucket for _, bucket, *_ in moved.rows(f"SELECT {COLUMNS} FROM documents")} == {moved.shared}
    assert moved.rows("SELECT aws_bucket_name FROM tenants") == [(None,)]
    assert before <= set(versions_of(moved.server.root(), moved.shared)), "an object of the shared bucket was changed"
    assert home == set(versions_of(moved.server.root(), home_of(moved))), "the home was written to"


def test_a_dry_run_changes_nothing_and_writes_nothing(moved: Room, s3_server) -> None:
    live_on(moved)
    with_roles(moved, "rollback")
    before = state(moved)
    with HttpRelay(s3_server.port) as relay:
        done = moved.run("rollback", "a", "--dry-run", AWS_ENDPOINT_URL_S3=relay.url)
        assert {each.method for each in relay.seen if each.path != "/"} == {"GET", "HEAD"}, "POST / asks who we are"
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was changed." in done.stdout
    assert state(moved) == before


def test_back_and_there_and_back_again(moved: Room) -> None:
    has = live_on(moved)
    with_roles(moved, "provision", "migrate", "rollback")
    assert moved.json("rollback", "a")["error_count"] == 0
    assert moved.json("migrate", "a")["this_run"] == len(has)
    assert downloads(moved) == has
    assert moved.json("verify", "a")["is_well"]
    has["3"] = b"newest of all"
    moved.server.root().put_object(Bucket=home_of(moved), Key=at_home(moved, 3), Body=has["3"])
    assert moved.json("rollback", "a")["this_run"] == len(has)
    assert downloads(moved) == has
    assert moved.json("rollback", "a")["this_run"] == 0


def rows_back(room: Room) -> int:
    return int(room.rows("SELECT count(*) FROM documents WHERE s3_bucket = %s", room.shared)[0][0])


def start(room: Room, relay: HttpRelay) -> subprocess.Popen[str]:
    """Under --max-rate rows are flipped 30 at a time: then a kill falls between two batches as well."""
    relay.forget()
    return room.start("rollback", "a", "--max-rate", "30", REHOUSE_BATCH_SIZE="10", AWS_ENDPOINT_URL_S3=relay.url)


@pytest.mark.long
@pytest.mark.sample
def test_killed_at_random_moments_and_run_again(moved: Room, s3_server) -> None:
    has, chance = live_on(moved), random.Random(SEED)
    with_roles(moved, "provision", "migrate", "rollback")
    before = set(versions_of(moved.server.root(), moved.shared))
    reached = []
    with HttpRelay(s3_server.port) as relay:
        for number in range(KILLS):
            moment, more_seconds = chance.randint(1, 60), chance.uniform(0, 0.05)
            process = start(moved, relay)
            while process.poll() is None and (
                len(relay.seen) < moment if number != KILLS // 2 else not rows_back(moved)
            ):
                time.sleep(0.002)
            time.sleep(more_seconds)
            process.kill()
            process.communicate()
            print(f"killed after {len(relay.seen)} requests and {more_seconds:.3f} s (seed {SEED})")
            assert downloads(moved) == has
            reached.append(rows_back(moved))
    print("documents back after each:", reached)
    assert 0 < reached[KILLS // 2] < len(has), "one kill came between two batches of pointers"
    said = moved.json("rollback", "a")
    assert (said["documents_returned"], said["error_count"], said["tenants"][0]["status"]) == (
        len(has),
        0,
        "rolled_back",
    )
    assert downloads(moved) == has
    assert before <= set(versions_of(moved.server.root(), moved.shared)), "an object of the shared bucket was changed"
    pointed = moved.rows("SELECT s3_key FROM documents GROUP BY 1 HAVING count(*) > 1")
    assert pointed == [], "two rows point to one object"


def test_the_bucket_goes_under_the_rights_of_finish_alone(moved: Room) -> None:
    home = home_of(moved)
    root = moved.server.root()
    root.put_object(Bucket=home, Key=at_home(moved, 1), Body=b"newest")
    with_roles(moved, "rollback")
    assert moved.json("rollback", "a")["error_count"] == 0
    has = downloads(moved)
    with_roles(moved, "finish")
    refused = moved.run("rollback", "a", "--drop-bucket", "--yes")
    assert refused.returncode == 2
    assert "may be in use until" in refused.stderr
    unasked = moved.run("rollback", "a", "--drop-bucket", REHOUSE_GRACE_DAYS="0")
    assert unasked.returncode == 2
    assert "--yes" in unasked.stderr
    foreseen = moved.json("rollback", "a", "--drop-bucket", "--dry-run", REHOUSE_GRACE_DAYS="0")
    said = moved.json("rollback", "a", "--drop-bucket", "--yes", REHOUSE_GRACE_DAYS="0")
    assert said | {"dry_run": True} == foreseen
    assert (said["bucket"], said["dry_run"]) == (home, False)
    assert home not in [each["Name"] for each in root.list_buckets()["Buckets"]]
    assert downloads(moved) == has


@pytest.fixture
def returned(new_room: Callable[..., Room]) -> Room:
    """A tenant `a` that was moved and sent back."""
    room = new_room("integer")
    room.lay_out(3)
    room.json("migrate", "a")
    with_roles(room, "rollback")
    assert room.json("rollback", "a")["this_run"] == 3
    return with_roles(room, "finish")


@pytest.mark.parametrize(("typed", "is_removed"), [("a", False), ("", False), ("{home}-", False), ("{home}", True)])
def test_at_a_terminal_the_buckets_name_is_typed(returned: Room, typed: str, is_removed: bool) -> None:
    home, has = home_of(returned), downloads(returned)
    words = f"{typed.format(home=home)}\n"
    done = returned.typed(words, "rollback", "a", "--drop-bucket", REHOUSE_GRACE_DAYS="0")
    assert done.returncode == (0 if is_removed else 2), done.stdout + done.stderr
    assert f"Type {home} to go on" in done.stderr
    assert is_removed or "nothing was changed" in done.stderr
    kept = [each["Name"] for each in returned.server.root().list_buckets()["Buckets"]]
    assert (home not in kept) is is_removed
    assert is_removed or versions_of(returned.server.root(), home)
    assert downloads(returned) == has


def test_what_cannot_be_done_says_why(moved: Room) -> None:
    moved.execute("UPDATE s3_migrations SET phase = 'released'")
    for arguments, words in (
        (("rollback", "a"), "its sources are being removed"),
        (("rollback", "a", "--drop-bucket", "--yes"), "no bucket to remove"),
        (("rollback",), "name one tenant, or --all"),
        (("rollback", "--all", "--drop-bucket", "--yes"), "one tenant at a time"),
        (("rollback", "nobody"), "there is no tenant"),
    ):
        done = moved.run(*arguments)
        assert done.returncode == 2, (arguments, done.stdout, done.stderr)
        assert words in done.stderr
        assert "Hint:" in done.stderr
