"""The S3 server is killed in the middle of a migration and comes back: the run goes on, or says why and the next one does."""

from __future__ import annotations

import time

from tests.support import independent_check
from tests.support.sampling import LONG_SAMPLE

pytestmark = LONG_SAMPLE

DOCUMENTS = 150


def test_the_gateway_is_restarted(new_room, s3_server) -> None:
    room = new_room("integer")
    room.lay_out(DOCUMENTS)
    before = independent_check.snapshot(room.url, room.server.root(), room.shared)
    process = room.start("migrate-all", REHOUSE_BATCH_SIZE="20", REHOUSE_MAX_RATE="60")
    copied = "SELECT count(*) FROM s3_migration_documents WHERE state = 'copied'"
    while not (room.rows("SELECT to_regclass('s3_migration_documents')")[0][0] and room.rows(copied)[0][0]):
        assert process.poll() is None
        time.sleep(0.05)
    s3_server.restart()
    assert process.poll() is None, "the run ended before the gateway was back"
    out, errors = process.communicate(timeout=240)
    assert "Traceback" not in errors
    if process.returncode:
        assert "Hint: " in out + errors
        assert room.run("migrate-all").returncode == 0
    after = independent_check.outcome(room.url, room.server.root(), room.shared)
    assert independent_check.check(before, after) == {"a": DOCUMENTS}
