"""Ctrl-C once drains and saves: the exit status is 130, nothing is half done, and the same command goes on."""

from __future__ import annotations

import signal
import time

import pytest

DOCUMENTS = 250


@pytest.mark.parametrize(
    ("which", "command"), [(signal.SIGINT, ("migrate", "a")), (signal.SIGTERM, ("migrate-all", "--parallel", "1"))]
)
def test_one_signal_drains_saves_and_the_next_run_completes(new_room, which, command):
    room = new_room("integer")
    root = room.server.root()
    room.lay_out(DOCUMENTS)
    process = room.start(*command, REHOUSE_BATCH_SIZE="50", REHOUSE_MAX_RATE="50")
    copied = "SELECT count(*) FROM s3_migration_documents WHERE state = 'copied'"
    while not (room.rows("SELECT to_regclass('s3_migration_documents')")[0][0] and room.rows(copied)[0][0]):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(which)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    saved = room.rows(copied)[0][0]
    (home,) = room.rows("SELECT home_bucket FROM s3_migrations")[0]
    assert 0 < saved < DOCUMENTS
    assert len(root.list_objects_v2(Bucket=home)["Contents"]) == saved, (
        "what was copied is recorded, and nothing else is there"
    )
    assert room.rows("SELECT status FROM s3_migrations") == [("in_progress",)]
    assert room.rows("SELECT count(*) FROM s3_inventory") == [(0,)]
    closing = room.json("migrate", "a")
    (report,) = closing["tenants"]
    assert (report["status"], report["documents_migrated"]) == ("completed", DOCUMENTS)
    assert report["copied"] == DOCUMENTS - saved
