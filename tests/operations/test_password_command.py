"""A whole run on a role whose password expires with every connection."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from tests.support.data_room import Room
from tests.support.rotating_passwords import Rotating

from rehouse.core.lifecycle import Phase
from rehouse.operations.doctor import examine
from rehouse.sandbox.postgres import PostgresServer


def test_a_run_asks_for_the_password_of_each_connection(room: Room, postgres: PostgresServer, tmp_path: Path) -> None:
    rotating = Rotating(postgres, room.url, tmp_path)
    room.settings = room.settings.model_copy(
        update={"database_url": SecretStr(rotating.url), "database_password_command": rotating.command}
    )
    room.documents("a", "b")
    with room.services(writes=True) as services, services.worker() as worker:
        assert services.ledger.connection.info.user == worker.ledger.connection.info.user == rotating.role
    report = room.migrate()
    assert (report.this_run, report.phase) == (2, Phase.CUT_OVER)
    before = len(rotating.printed)
    checks = list(examine(room.settings))
    assert len(rotating.printed) > before > 5
    assert not any(word in str(checks) for word in rotating.printed)
