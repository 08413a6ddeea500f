"""The README's runbook, line by line as it is printed there, on a room with a document in quarantine."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.data_room import Room

ROOT = Path(__file__).parents[2]
DOCUMENTS = 30
LATER = ("--role", "provision", "--role", "migrate", "--role", "finish")
THE_BUCKET = "the-bucket-that-all-tenants-share"


def runbook() -> list[str]:
    """The command lines of the README's section, without what a clone and an account need first."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## On AWS\n")[1]
    (block, *_) = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    lines = [re.sub(r"\s+#.*$", "", line) for line in block.splitlines()]
    return [line for line in lines if line.startswith("rehouse ")]


def run(room: Room, line: str, typed: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell at a terminal at which somebody types this."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{typed}\n".encode())
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "rb") as terminal:
        return subprocess.run(
            ["bash", "-c", line.replace(THE_BUCKET, room.shared)],
            check=False,
            env=room.environment() | {"PATH": path},
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=240,
        )


@pytest.fixture
def room(new_room: Callable[..., Room]) -> Room:
    """Two tenants; an object of the one called `pilot` is missing."""
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    room.execute("UPDATE tenants SET slug = 'pilot'")
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (2, 'other', 'other')")
    room.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size, uploaded_at)"
        " VALUES ('lost', 1, 'lost', 'lost', 'k/lost', 1, now() - interval '1 day')"
    )
    room.more |= {"REHOUSE_VERSIONING_SETTLE_SECONDS": "0"}
    return room


@pytest.mark.long
@pytest.mark.sample
@pytest.mark.not_on_ceph("`doctor --probe` fails there without the dialect")
def test_the_runbook_goes_on_beside_a_quarantined_document(room: Room) -> None:
    *lines, drop, uninstall = runbook()
    ended = {}
    for line in lines:
        if line.startswith("rehouse finish"):
            room.credentials = room.server.user("runbook", json.loads(room.run("iam-policy", *LATER).stdout))
            room.execute("UPDATE s3_migration_documents SET flipped_at = now() - %s", timedelta(days=8))
        done = run(room, line, "pilot")
        ended[line] = done.returncode
        assert done.returncode in {0, 3}, (line, done.stdout[-3000:], done.stderr[-3000:])
        if " && " in line:
            assert_ran(line.split(" && ")[1], done.stdout)
    assert [status for line, status in ended.items() if "iam-policy" in line or line == "rehouse cleanup"] == [0, 0]
    assert ended["rehouse migrate-all"] == 3
    assert run(room, drop, room.shared).returncode == 2, "a row points into it"
    room.execute("DELETE FROM documents WHERE id = 'lost'")
    assert run(room, "rehouse migrate-all", "").returncode == 0
    assert run(room, "rehouse finish --all", "all").returncode == 0
    for line, typed in ((drop, room.shared), (uninstall, "uninstall")):
        done = run(room, line, typed)
        assert done.returncode == 0, (line, done.stdout, done.stderr)


def assert_ran(command: str, printed: str) -> None:
    """The second command of a line printed what it prints."""
    expected = {
        "plan": "Nothing was changed.",
        "verify": "No problems found except 1 document in quarantine.",
        "finish": "Sources removed: ",
    }
    assert expected[command.split()[1].removesuffix("-all")] in printed, (command, printed)
