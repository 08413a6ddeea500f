"""The roles that the page for DBAs makes: the mover moves, returns and finishes; the reader only looks."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from tests.support.data_room import Room

from rehouse.core.errors import RehouseError
from rehouse.core.lifecycle import Phase
from rehouse.operations import cleanup as cleaning
from rehouse.operations import finish as finishing
from rehouse.operations import rollback as returning
from rehouse.operations.init import initialise

PAGE = Path(__file__).parents[2] / "docs" / "for-dbas.md"


def become(room: Room, role: str, login: str) -> None:
    """Let the operations work as a new user who is in this role and has nothing else."""
    password = "of-this-role"
    room.sql(f"CREATE ROLE {login} LOGIN PASSWORD '{password}' IN ROLE {role}")
    parts = psycopg.conninfo.conninfo_to_dict(room.url)
    url = f"postgresql://{login}:{password}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    room.settings = room.settings.model_copy(update={"database_url": SecretStr(url)})


def test_the_roles_of_the_page_are_enough(room: Room) -> None:
    script = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[0]
    own = str(psycopg.conninfo.conninfo_to_dict(room.url)["dbname"])
    initialise(room.settings)
    room.sql(script.replace("rehouse_reader", f"reader_{own}").replace("rehouse_mover", f"mover_{own}"))
    room.documents("a", "b")
    become(room, f"mover_{own}", f"moving_{own}")
    assert room.migrate().this_run == 2
    with room.services() as services:
        tenant = services.ledger.tenant("acme")
        assert returning.roll_back_one(services, tenant).errors == 0
    assert room.migrate().phase is Phase.CUT_OVER
    with room.services() as services:
        tenant = services.ledger.tenant("acme")
        assert finishing.finish_one(services, tenant, grace=timedelta(0)).sources_removed == 2
        assert cleaning.cleanup(services)[0].objects == 0
    become(room, f"reader_{own}", f"reading_{own}")
    assert room.verify(deep=True).is_well
    with pytest.raises(RehouseError):
        room.migrate()
