"""What every command prints at 80 and at 120 columns, as docs/screens shows it: nothing wrapped, no word broken."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from tests.support import screens
from tests.support.data_room import Room
from tests.support.sampling import LONG_SAMPLE
from tests.support.screens import Screen

from rehouse.sandbox.s3_server import S3Server
from rehouse.sandbox.seed import lay_out

pytestmark = [*LONG_SAMPLE, pytest.mark.not_on_ceph("what is printed names what that server lacks")]
ROLES = ("provision", "migrate", "rollback", "finish")


@pytest.fixture(scope="module")
def captures(new_room: Callable[..., Room], s3_server: S3Server) -> dict[int, dict[Screen, str]]:
    """The whole story at each width, each in a room of its own."""
    return {columns: _capture(new_room, s3_server, columns) for columns in screens.WIDTHS}


def _capture(new_room: Callable[..., Room], s3_server: S3Server, columns: int) -> dict[Screen, str]:
    name = f"data-room-at-{columns:03}"
    s3_server.root().create_bucket(Bucket=name)
    room = new_room(None, prefix=f"rooms{columns:03}", shared=name)
    lay_out(room.url, s3_server.root(), tenant_id="integer", older_tool=False, shared_bucket=name)
    roles = [part for role in ROLES for part in ("--role", role)]
    room.credentials = s3_server.user(name, _policies(room, roles))
    room.more |= {"REHOUSE_GRACE_DAYS": "7"}
    found = {screen: screens.mask(text) for screen, text in screens.capture(room, columns)}
    if os.environ.get("WRITE_SCREENS"):
        for screen, text in found.items():
            path = screens.file_of(screen, columns)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return found


def _policies(room: Room, roles: list[str]) -> dict[str, object]:
    done = room.run("iam-policy", *roles)
    assert done.returncode == 0, done.stderr
    documents: dict[str, object] = json.loads(done.stdout)
    return documents


@pytest.mark.parametrize("columns", screens.WIDTHS)
def test_no_row_is_wider_than_the_terminal(captures: dict[int, dict[Screen, str]], columns: int) -> None:
    wide = {
        screen.name: lines
        for screen, text in captures[columns].items()
        if not screen.is_data and (lines := screens.too_wide(text, columns))
    }
    assert wide == {}


@pytest.mark.parametrize("columns", screens.WIDTHS)
@pytest.mark.parametrize("screen", screens.STORY, ids=lambda screen: screen.name)
def test_a_screen_is_as_the_docs_show_it(captures: dict[int, dict[Screen, str]], columns: int, screen: Screen) -> None:
    shown = screens.file_of(screen, columns).read_text(encoding="utf-8")
    assert screens.words(captures[columns][screen]) == screens.words(shown), "scripts/screens writes docs/screens anew"


def test_no_capture_is_left_of_an_older_story() -> None:
    expected = {screens.file_of(screen, columns) for screen in screens.STORY for columns in screens.WIDTHS}
    assert {*screens.FOLDER.rglob("*.txt")} == expected
