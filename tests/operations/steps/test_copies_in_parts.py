"""What large documents carry goes along: headers byte for byte, tags of any length, and nothing where there are no tags."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import HttpRelay, Reply, Request
from tests.support.parts import IN_PARTS

from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.steps.guarded_copies import SMALL_BYTES
from rehouse.operations.steps.proofs import NO_TAGS

BODY = bytes(range(250)) * 4200
assert len(BODY) > SMALL_BYTES
UTF8 = "résumé Å à".encode().decode("latin-1")
"""Raw UTF-8 as it stands in a header: with bytes that Unicode takes for white space, one of them at the end."""
SHOWN = {
    "content-type": "application/pdf",
    "content-disposition": f'attachment; filename="{UTF8}.pdf"',
    "content-language": UTF8,
    "expires": "never",
    "x-amz-website-redirect-location": "/elsewhere",
    "x-amz-meta-title": UTF8,
    "x-amz-meta-rfc2047": "=?UTF-8?B?csOpc3Vtw6k=?=",
    "x-amz-meta-50%s": "two  spaces",
    "x-amz-meta-empty": "",
}
MANY_TAGS: Any = [{"Key": f"key {n} é", "Value": "ü" * 200} for n in range(10)]
TARGET = "documents/a/a.txt"


@pytest.fixture
def relay(room: Room) -> Iterator[HttpRelay]:
    """A relay before the room's server; large documents go in parts."""
    with HttpRelay(room.server.port) as relay:
        room.settings = room.settings.model_copy(update={**IN_PARTS, "endpoint_url": relay.url})
        room.put("k/a", BODY)
        room.row("a", "k/a", bucket=room.shared)
        yield relay


def showing(*headers: tuple[str, str]) -> Any:
    """Return an ending that shows these headers on every object, as a server does that keeps them as they came."""

    def shown(request: Request, reply: Reply) -> Reply:
        if request.operation not in {"HEAD object", "GET object"}:
            return reply
        names = {name for name, _ in headers}
        kept = tuple((name, value) for name, value in reply.headers if name.lower() not in names)
        return replace(reply, headers=kept + headers)

    return shown


def begun(relay: HttpRelay) -> list[Request]:
    return [each for each in relay.seen if each.operation == "POST upload" and "uploads" in each.query]


def test_every_header_is_sent_with_the_bytes_that_were_shown(room: Room, relay: HttpRelay) -> None:
    relay.after = showing(*SHOWN.items())
    report = room.migrate()
    assert (report.status, room.body("a")) == (Status.COMPLETED, BODY)
    (request,) = begun(relay)
    lines = dict(line.split(b":", 1) for line in request.head.split(b"\r\n")[1:] if b":" in line)
    sent = {name.decode(): value.strip(b" ").decode("latin-1") for name, value in lines.items()}
    assert {name: sent.get(name) for name in SHOWN} == SHOWN


def test_metadata_that_s3_does_not_show_is_never_lost(room: Room, relay: HttpRelay) -> None:
    relay.after = showing(("x-amz-missing-meta", "2"))
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "MetadataUnreadable")]
    assert begun(relay) == []


def test_long_tags_are_set_before_the_copy_counts(room: Room, relay: HttpRelay) -> None:
    room.root.put_object_tagging(Bucket=room.shared, Key="k/a", Tagging={"TagSet": MANY_TAGS})
    assert room.migrate().status is Status.COMPLETED
    assert "x-amz-tagging" not in begun(relay)[0].headers
    assert _tags(room) == _sorted(MANY_TAGS)


@pytest.mark.parametrize("is_recorded", [True, False], ids=["told", "killed before it was recorded"])
def test_a_copy_without_its_tags_is_made_again(room: Room, relay: HttpRelay, is_recorded: bool) -> None:
    room.root.put_object_tagging(Bucket=room.shared, Key="k/a", Tagging={"TagSet": MANY_TAGS})
    relay.before = lambda request: refusal(400, "InvalidTag")(request) if request.operation == "PUT tagging" else None
    report = room.migrate(until=Phase.COPIED)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "InvalidTag")]
    assert room.pointer("a") == (room.shared, "k/a")
    assert TARGET in room.keys(room.home())
    if not is_recorded:
        room.sql("DELETE FROM s3_migration_documents WHERE document_id = 'a'")
    relay.before = lambda request: None
    again = room.migrate()
    assert (again.status, again.copied, again.adopted) == (Status.COMPLETED, 1, 0)
    assert _tags(room) == _sorted(MANY_TAGS)


def without_tags(request: Request) -> Reply | None:
    """Answer as Cloudflare R2 does."""
    if request.operation in {"GET tagging", "PUT tagging"} and request.key:
        return refusal(501, "NotImplemented")(request)
    return refusal(501, "NotImplemented")(request) if "x-amz-tagging" in request.headers else None


def test_where_there_are_no_tags_there_are_none_to_lose(room: Room, relay: HttpRelay) -> None:
    room.documents("small")
    relay.before = without_tags
    report = room.migrate()
    assert (report.status, report.outstanding, room.body("a")) == (Status.COMPLETED, [], BODY)
    relay.seen.clear()
    checked = room.verify(deep=True)
    assert (checked.is_well, checked.not_offered) == (True, (NO_TAGS,))


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("expires", "never"),
        ("x-amz-meta-title", UTF8),
        ("x-amz-website-redirect-location", "/x"),
        ("content-type", "b/c"),
    ],
)
def test_deep_compares_each_header_that_it_says_it_compares(
    room: Room, relay: HttpRelay, header: str, value: str
) -> None:
    room.migrate()
    shown = showing((header, value))
    relay.after = lambda request, reply: shown(request, reply) if request.bucket == room.shared else reply
    (problem,) = room.verify(deep=True).problems
    assert (problem.finding, problem.message) == ("different", f"differs in {header}")


def _tags(room: Room) -> list[tuple[str, str]]:
    bucket, key = room.pointer("a")
    return _sorted(room.root.get_object_tagging(Bucket=bucket or "", Key=key or "")["TagSet"])


def _sorted(tags: Any) -> list[tuple[str, str]]:
    return sorted((tag["Key"], tag["Value"]) for tag in tags)
