"""A process that dies at any step of a call, and a sweep afterwards: no row points to a missing object, and nothing is left."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from tests.support.age_grants import age
from tests.support.killing import in_a_child
from tests.support.sampling import only

from rehouse.runtime.streams import SINGLE_BYTES

LARGE = b"x" * (SINGLE_BYTES + 5)
EVERY = {"few": 37, "most": 3}
"""Which of the steps are tried."""


def upload(room: Any, acme: Any) -> Callable[[], object]:
    return lambda: acme.upload("d1", "a.txt", BytesIO(b"second"), "text/plain")


def upload_in_parts(room: Any, acme: Any) -> Callable[[], object]:
    return lambda: acme.upload("d1", "a.txt", BytesIO(LARGE), "text/plain")


def create(room: Any, acme: Any) -> Callable[[], object]:
    return lambda: acme.create_upload("d1", "a.bin", len(LARGE), "text/plain")


def confirm(room: Any, acme: Any) -> Callable[[], object]:
    grant = acme.create_upload("d1", "a.txt", 6, "text/plain")
    request = urllib.request.Request(grant.url, data=b"second", method="PUT", headers=dict(grant.headers))
    urllib.request.urlopen(request).close()
    return lambda: acme.confirm_upload(grant)


def delete(room: Any, acme: Any) -> Callable[[], object]:
    return lambda: acme.delete("d1")


def copy(room: Any, acme: Any) -> Callable[[], object]:
    return lambda: acme.copy_to(acme, "d2", "d1")


def sweep(room: Any, acme: Any) -> Callable[[], object]:
    acme.upload("d1", "a.txt", BytesIO(b"second"), "text/plain")
    create(room, acme)()
    age(room)
    return acme._scope.storage.sweep  # type: ignore[no-any-return]


DEEDS = {each.__name__: each for each in (upload, upload_in_parts, create, confirm, delete, copy, sweep)}


def nothing_is_left(room: Any) -> None:
    """Every row points to an object, and every object has a row; no upload is open, and nothing is recorded any more."""
    pointed = {key for (key,) in room.sql("SELECT s3_key FROM documents WHERE s3_key IS NOT NULL")}
    assert set(room.keys(room.shared)) == pointed
    assert room.root.list_multipart_uploads(Bucket=room.shared).get("Uploads", []) == []
    assert room.sql("SELECT count(*) FROM s3_pending_deletions") == [(0,)]
    assert room.sql("SELECT count(*) FROM s3_upload_grants WHERE state <> 'confirmed'") == [(0,)]


def rows_are_well(room: Any) -> None:
    there = set(room.keys(room.shared))
    assert {key for (key,) in room.sql("SELECT s3_key FROM documents WHERE s3_key IS NOT NULL")} <= there


CASES = [f"{name} {steps}" for name in DEEDS for steps in EVERY]


@pytest.mark.parametrize("case", only(["delete few"], CASES))
def test_a_crash_at_any_step_leaves_nothing(room, storage, acme, case):
    name, steps = case.split()
    room.documents("d1", "d2")
    at = EVERY[steps]
    tried = 0
    while True:
        deed = DEEDS[name](room, acme)
        was_killed = in_a_child(deed, at)
        rows_are_well(room)
        age(room)
        assert storage.sweep().failed == ()
        nothing_is_left(room)
        if not was_killed:
            break
        at, tried = at + EVERY[steps], tried + 1
        if room.pointer("d1")[1] is None:
            room.sql("DELETE FROM documents WHERE id = 'd1'")
            room.documents("d1")
    assert tried >= (1 if steps == "few" else 10)
