"""The command `isolation` as an application's operator runs it: table, evidence, exit status."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.data_room import Room
from tests.support.envelope import envelope_of
from tests.support.isolation_room import contents, give_homes, grant, role_of_tenants, session_of, widen

pytestmark = pytest.mark.not_on_ceph("Ceph has one user here: no role can be assumed")


@pytest.fixture
def room(new_room: Callable[..., Room]) -> Room:
    """A room with three tenants in buckets of their own; the command and the role have the rights of `application`."""
    made = new_room()
    made.put("shared/1", b"of somebody")
    made.tenant("late")
    give_homes(made, 3)
    role = role_of_tenants(made)
    made.more["REHOUSE_ROLE_ARN"] = role
    documents = json.loads(made.run("iam-policy", "--role", "application").stdout)
    grant(made, role, documents)
    made.credentials = made.server.user(f"isolation-{made.prefix}", documents)
    made.settings = made.settings.model_copy(update={"role_arn": role})
    return made


def test_isolated_tenants_end_with_0_and_evidence(room: Room, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    done = room.run("isolation", "--evidence", str(file))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "Proven: no tenant reached another one." in done.stdout
    assert "late: it has no bucket of its own yet" in done.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = json.loads(file.read_text(encoding="utf-8"))
    text = json.dumps(written["evidence"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert written["digest"] == hashlib.sha256(text.encode()).hexdigest()
    assert written["digest"] in done.stdout
    again = room.run("isolation", "--evidence", str(file))
    assert again.returncode == 2
    assert "evidence is never overwritten" in again.stderr


def test_a_leak_ends_with_1_and_is_named(room: Room) -> None:
    home = f"{room.prefix}-t001"
    widen(room, home, "s3:GetObject", "s3:PutObject", principal=session_of(room, "t002"))
    done = room.run("isolation")
    assert done.returncode == 1
    assert f"t002 reached t001, s3://{home}: get (206), put (200), copy (200), multipart (200)," in done.stdout
    assert "Tenants are not isolated" in done.stdout
    result = room.json("isolation", status=1)
    assert result["outcome"] == "leak"
    assert {(each["attacker"], each["victim"]) for each in result["evidence"]["leaks"]} == {("t002", "t001")}
    # The application's rights do not include the removal of a version: what stays is named.
    left = {each["attack"] for each in result["evidence"]["leaks"] if each["left_behind"]}
    assert left == {"put", "presigned_put", "copy"}
    assert contents(room, home)[2] == []
    for bucket in (home, f"{room.prefix}-t002"):
        assert room.keys(bucket) == ["documents/1/a b+ü.txt"]


def test_what_is_not_possible_here_ends_with_4(room: Room) -> None:
    room.more["REHOUSE_ROLE_ARN"] = "arn:aws:iam::000000000000:role/missing"
    done = room.run("isolation", "-o", "json")
    assert done.returncode == 4
    told = envelope_of(done.stdout)
    assert (told["exit_status"], told["result"]["outcome"], told["errors"]) == (4, "not_possible_here", [])
    assert "Not possible here:" in room.run("isolation").stdout


def test_a_dry_run_tells_requests_and_cost(room: Room) -> None:
    done = room.run("isolation", "--dry-run")
    assert done.returncode == 0
    assert "Tenants: t000, t001, t002" in done.stdout
    assert "9 pairs (all of them), at most 165 requests, less than $0.01. None was sent." in done.stdout


def test_without_a_role_it_is_refused(room: Room) -> None:
    del room.more["REHOUSE_ROLE_ARN"]
    done = room.run("isolation")
    assert done.returncode == 2
    assert "REHOUSE_ROLE_ARN is not set" in done.stderr
