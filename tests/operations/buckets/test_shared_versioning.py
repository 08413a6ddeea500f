"""Versioning that is suspended on the shared bucket is named as what it is, and finish asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import Refused
from rehouse.operations import finish as finishing
from rehouse.operations.doctor import examine
from rehouse.operations.finish import FinishReport
from rehouse.operations.plan import plan
from rehouse.operations.steps.due_sources import due_sources

NOW = timedelta(0)


def set_versioning(room: Room, status: str) -> None:
    room.root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": status})  # type: ignore[typeddict-item]


@pytest.fixture
def suspended(room: Room) -> Room:
    """A room whose documents were moved out of a shared bucket with suspended versioning."""
    room.documents("a", "b")
    room.migrate()
    set_versioning(room, "Enabled")
    set_versioning(room, "Suspended")
    return room


def finish(room: Room, *, final: bool = False, dry_run: bool = False) -> FinishReport:
    with room.services(writes=not dry_run) as services:
        tenant = services.ledger.tenant("acme")
        return finishing.finish_one(services, tenant, grace=NOW, final=final, dry_run=dry_run)


def test_nothing_is_removed_without_final(suspended: Room) -> None:
    with pytest.raises(
        Refused, match=f"versioning of {suspended.shared} is suspended.*destroys the null version"
    ) as asked:
        finish(suspended)
    assert "Status=Enabled" in asked.value.hint
    assert "--final" in asked.value.hint
    assert suspended.keys(suspended.shared) == ["k/a", "k/b"]
    with suspended.services(writes=False) as services, pytest.raises(Refused):
        due_sources(services, services.ledger.tenant("acme"), grace=NOW)


def test_final_and_enabled_versioning_let_it_go_on(suspended: Room) -> None:
    assert finish(suspended, final=True).sources_removed == 2


def test_once_enabled_it_goes_on(suspended: Room) -> None:
    set_versioning(suspended, "Enabled")
    assert finish(suspended).sources_removed == 2


def test_a_dry_run_says_what_finish_will_ask(suspended: Room) -> None:
    foreseen = finish(suspended, dry_run=True)
    assert foreseen.sources_removed == 2
    assert "--final" in (foreseen.gives_up or "")


def test_versioning_that_cannot_be_read_is_not_taken_for_fine(room: Room, strict: StrictRelay) -> None:
    room.documents("a")
    room.migrate()
    denied = refusal(403, "AccessDenied")
    strict.meanwhile = lambda request: (
        denied(request) if request.operation == "GET versioning" and request.bucket == room.shared else None
    )
    with pytest.raises(Refused, match="could not be read"):
        finish(room)
    assert finish(room, final=True).sources_removed == 1


def test_a_bucket_without_versioning_is_finished_as_before(room: Room) -> None:
    room.documents("a")
    room.migrate()
    assert finish(room).sources_removed == 1


def test_doctor_and_plan_name_it(suspended: Room) -> None:
    checks = {each.subject: each for each in examine(suspended.settings)}
    assert "suspended: a DELETE destroys the null version" in checks[f"{suspended.shared}: versioning"].message
    with suspended.services(writes=False) as services:
        assert plan(services, services.ledger.tenants()).shared_versioning == {suspended.shared: "suspended"}
