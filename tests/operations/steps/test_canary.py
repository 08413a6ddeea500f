"""The canary: read before the switch and read through the rows after it; what it finds stops the cutover there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.data_room import Room

from rehouse.core.errors import Halt, Refused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.cutover import cutover
from rehouse.operations.report import TenantReport
from rehouse.sandbox.s3_server import S3Server

READS = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}


@pytest.fixture
def verified(room: Room) -> Room:
    """A room whose four documents are copied and verified, and not flipped."""
    room.documents("a", "b", "c", "d")
    room.migrate(until=Phase.VERIFIED)
    return room


def cut_over(room: Room, canary: int = 2, **more: object) -> TenantReport:
    """Cut acme over as the command does."""
    with room.services(**more) as services:
        return cutover(services, services.ledger.tenant("acme"), canary=canary)


@pytest.fixture
def profile(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that gives the application a profile with these statements of a policy."""

    def give(name: str, *statements: dict[str, object]) -> str:
        policy = {"policy": json.loads(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))}
        access_key, secret_key = s3_server.user(name, policy)
        path = tmp_path / "credentials"
        path.write_text(
            f"[{name}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n", encoding="utf-8"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
        return name

    return give


@pytest.mark.parametrize("canary", [0, 2, 4, 100])
def test_a_canary_that_is_well_is_followed_by_everything(verified: Room, canary: int) -> None:
    report = cut_over(verified, canary)
    assert (report.status, report.phase, report.this_run) == (Status.COMPLETED, Phase.CUT_OVER, 4)
    told = [note for note in report.notes if note.startswith("canary")]
    assert [note.split()[1] for note in told] == ([str(min(canary, 4))] * 2 if canary else [])
    assert {verified.pointer(each)[0] for each in "abcd"} == {verified.home()}


def test_without_a_profile_the_note_says_whose_credentials_read(verified: Room) -> None:
    assert any("REHOUSE_APPLICATION_PROFILE is not set" in note for note in cut_over(verified).notes)


def test_the_application_s_own_credentials_read(verified: Room, profile) -> None:
    name = profile(f"reader-{verified.shared}", READS)
    report = cut_over(verified, application_profile=name)
    assert any("the application's credentials" in note for note in report.notes)
    assert report.status is Status.COMPLETED


def test_an_application_without_access_stops_the_switch(verified: Room, profile) -> None:
    reads_shared = READS | {"Resource": [f"arn:aws:s3:::{verified.shared}", f"arn:aws:s3:::{verified.shared}/*"]}
    name = profile(f"blind-{verified.shared}", reads_shared)
    with pytest.raises(Refused, match="nothing was switched"):
        cut_over(verified, application_profile=name)
    assert verified.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    assert verified.sql("SELECT phase FROM s3_migrations") == [("verified",)]
    assert {verified.pointer(each)[0] for each in "abcd"} == {verified.shared}
    assert cut_over(verified).status is Status.COMPLETED


def on_switch(room: Room, change: str) -> None:
    """Let the ledger's lines be changed in the moment in which the home is switched."""
    room.sql(
        "CREATE FUNCTION on_switch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"UPDATE s3_migration_documents SET {change}; RETURN NEW; END $$; "
        "CREATE TRIGGER on_switch AFTER UPDATE OF aws_bucket_name ON tenants FOR EACH ROW EXECUTE FUNCTION on_switch()"
    )


def test_a_fault_after_the_switch_halts_with_the_canary_flipped(verified: Room) -> None:
    """The row of the first document leads to nothing after its flip."""
    on_switch(verified, "target_key = 'nothing'")
    with pytest.raises(Halt, match="1 documents are flipped") as raised:
        cut_over(verified, 1)
    assert "rehouse rollback acme" in raised.value.hint
    assert sorted(verified.states().values()) == ["copied", "copied", "copied", "flipped"]
    assert [verified.pointer(each)[0] for each in "abcd"] == [verified.home()] + [verified.shared] * 3


def test_an_overwritten_canary_is_read_as_it_is(verified: Room) -> None:
    """What the ledger expects and what is there differ, as they do after a write in place."""
    on_switch(verified, "target_etag = 'before it was overwritten', source_size = 1000")
    report = cut_over(verified)
    assert (report.status, report.this_run) == (Status.COMPLETED, 4)
    assert any("through their rows" in note for note in report.notes)


@pytest.mark.parametrize("until", [Phase.PLANNED, Phase.PROVISIONED, Phase.COPIED])
def test_a_tenant_that_was_not_verified_is_refused(room: Room, until: Phase) -> None:
    room.documents("a")
    with pytest.raises(Refused, match="not begun"):
        cut_over(room)
    room.migrate(until=until)
    with pytest.raises(Refused, match=f"acme is {until}") as raised:
        cut_over(room)
    assert "rehouse migrate acme --until verified" in raised.value.hint
    assert room.pointer("a") == (room.shared, "k/a")


def test_what_changed_since_verification_is_copied_again(verified: Room) -> None:
    verified.put("k/b", b"b, newer")
    verified.documents("e")
    report = cut_over(verified)
    assert (report.status, report.this_run, report.copied) == (Status.COMPLETED, 5, 2)
    assert verified.body("b") == b"b, newer"


def test_cut_over_again_is_a_sweep(verified: Room) -> None:
    cut_over(verified)
    assert cut_over(verified).had_nothing_to_do
    verified.documents("late")
    assert cut_over(verified).this_run == 1
