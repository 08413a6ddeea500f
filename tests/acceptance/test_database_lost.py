"""The database cuts off every connection during a run: the command says so, nothing is lost, and the same command goes on."""

from __future__ import annotations

import time

from tests.support import independent_check

DOCUMENTS = 120
CUT = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def test_connections_that_are_cut_off(new_room):
    room = new_room("integer")
    root = room.server.root()
    room.lay_out(DOCUMENTS)
    before = independent_check.snapshot(room.url, root, room.shared)
    process = room.start("migrate-all", REHOUSE_BATCH_SIZE="20", REHOUSE_MAX_RATE="80")
    copied = "SELECT count(*) FROM s3_migration_documents WHERE state = 'copied'"
    while not (room.rows("SELECT to_regclass('s3_migration_documents')")[0][0] and room.rows(copied)[0][0]):
        assert process.poll() is None
        time.sleep(0.05)
    assert room.rows(CUT)[0][0] >= 2
    out, errors = process.communicate(timeout=180)
    assert process.returncode in (1, 2), out + errors
    assert "Traceback" not in errors
    assert "run the same command again" in out + errors
    done = room.run("migrate-all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert independent_check.check(before, independent_check.outcome(room.url, root, room.shared)) == {"a": DOCUMENTS}
