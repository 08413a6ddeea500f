"""Status: what it tells of errors, each with its way out."""

from __future__ import annotations

import csv
import io
import json

import pytest
from tests.support.data_room import Room

from rehouse.cli.commands.status import show_errors
from rehouse.core.lifecycle import Status
from rehouse.operations import status
from rehouse.operations.status import DocumentError


@pytest.fixture
def wrong(room: Room) -> Room:
    """A room with one document of each kind: at home, lost, in conflict, failed; and another tenant's lost one."""
    room.documents("a", "conflict")
    room.migrate()
    bucket, key = room.pointer("conflict")
    room.put(key or "", b"at home", bucket=bucket)
    room.put("k/conflict", b"late")
    room.row("lost", 'k/"lost", with a comma', bucket=room.shared)
    room.tenant("globex")
    room.row("theirs", "k/theirs", slug="globex", bucket=room.shared)
    assert room.migrate().status is room.migrate("globex").status is Status.FAILED
    return room


def errors(room: Room, *slugs: str) -> list[DocumentError]:
    with room.services(writes=False) as services:
        return status.errors(services.ledger, [services.ledger.tenant(slug) for slug in slugs])


def test_every_error_has_its_way_out(wrong: Room) -> None:
    found = errors(wrong, "acme")
    assert [(each.document_id, each.code, each.source.key) for each in found] == [
        ("lost", "missing_object", 'k/"lost", with a comma'),
        ("conflict", "Conflict", "k/conflict"),
    ]
    assert "restore the object" in found[0].hint
    assert "rehouse accept" in found[1].hint
    assert "documents/conflict/conflict.txt" in (found[1].message or "")


def test_errors_of_several_tenants(wrong: Room) -> None:
    assert [each.slug for each in errors(wrong, "acme", "globex")] == ["acme", "acme", "globex"]


def test_a_fault_of_s3_has_its_request_id_and_a_command(wrong: Room) -> None:
    wrong.sql(
        "UPDATE s3_migration_documents SET error_code = 'SlowDown', request_id = 'R1', state = 'planned' WHERE document_id = 'lost'"
    )
    [slow] = [each for each in errors(wrong, "acme") if each.document_id == "lost"]
    assert (slow.code, slow.request_id, slow.hint) == ("SlowDown", "R1", "run `rehouse migrate acme --only-failed`")


def test_a_tenant_that_was_never_begun_has_no_errors(room: Room) -> None:
    room.row("lost", "k/lost")
    assert errors(room, "acme") == []


def test_the_csv_can_be_read_back(wrong: Room, capsys: pytest.CaptureFixture[str]) -> None:
    found = errors(wrong, "acme", "globex")
    show_errors(found, as_csv=True, returning=())
    read = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(each["slug"], each["document_id"], each["key"]) for each in read] == [
        (each.slug, each.document_id, each.source.key) for each in found
    ]
    assert json.dumps(read)
