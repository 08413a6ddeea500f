"""Planes over the real server and over the scripted one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from rehouse.config import Settings
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.session import Session


@pytest.fixture
def plane(storage_settings: Settings) -> Iterator[BulkPlane]:
    """A bulk plane over the real server."""
    made = BulkPlane(Session(storage_settings), max_in_flight=16, max_rate=None)
    yield made
    made.close()


@pytest.fixture
def stub_plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., BulkPlane]]:
    """Return a function that makes a plane over an endpoint; it waits nearly nothing before it tries again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")
    made: list[BulkPlane] = []

    def make(url: str, *, in_flight: int = 4, owner: str | None = None) -> BulkPlane:
        session = Session(Settings(endpoint_url=url))
        made.append(
            BulkPlane(
                session, max_in_flight=in_flight, max_rate=None, owner=owner, random=lambda: random.random() / 100
            )
        )
        return made[-1]

    yield make
    for plane in made:
        plane.close()


@pytest.fixture
def task() -> Callable[..., CopyTask]:
    """Return a function that makes a CopyTask."""

    def make(number: int = 1, **changed: object) -> CopyTask:
        fields: dict[str, object] = {
            "document_id": str(number),
            "source": ObjectRef("shared", f"in/{number}"),
            "source_etag": "aa",
            "size": 1,
            "storage_class": "STANDARD",
            "target": ObjectRef("home", f"documents/{number}"),
        }
        return CopyTask(**{**fields, **changed})  # type: ignore[arg-type]

    return make
