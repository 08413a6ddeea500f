"""What the reliability tests share: a warm command, relays in front of both servers, and the figures for docs/reliability.md."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import EVERYTHING
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay
from tests.support.postgres_relay import PostgresRelay
from tests.support.warm_process import Warm, common_warm_command

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def warm() -> Warm:
    """The command, kept warm."""
    return common_warm_command()


@pytest.fixture
def storage_relay(s3_server) -> Iterator[HttpRelay]:
    """A relay in front of the S3 server."""
    with HttpRelay(s3_server.port) as relay:
        yield relay


@pytest.fixture
def database_relay(postgres) -> Iterator[PostgresRelay]:
    """A relay in front of PostgreSQL."""
    with PostgresRelay(postgres.port) as relay:
        yield relay


@pytest.fixture(scope="session")
def everything(s3_server) -> tuple[str, str]:
    """The keys of an IAM user who may do everything: rights are other tests' business."""
    return s3_server.user("reliability", EVERYTHING)


@pytest.fixture(scope="session")
def ready_database(postgres, templates, s3_server, everything, warm) -> str:
    """The name of a database with the application's schema and the ledger in it, no rows."""
    name = "template_ready"
    url = postgres.create_database(name, templates("integer"))
    room = Room(url, "ready-shared", s3_server, prefix="ready", credentials=everything)
    s3_server.root().create_bucket(Bucket=room.shared)
    ended = warm.run("init", environment=room.environment())
    assert ended.status == 0, ended
    return name


@pytest.fixture
def new_room(
    postgres, s3_server, templates, ready_database, everything, warm, storage_relay, database_relay
) -> Iterator[Callable[..., Room]]:
    """Return a function that makes an empty room, its ledger ready unless `bare`; all are removed at the end."""
    made: list[tuple[Room, str]] = []

    def make(*, bare: bool = False) -> Room:
        for room, name in made:
            room.remove()
            postgres.drop_database(name)
        made.clear()
        number = f"{os.getpid()}-{next(_numbers)}"
        name = f"room_{number}"
        url = postgres.create_database(name, templates("integer") if bare else ready_database)
        room = Room(url, f"shared-{number}", s3_server, prefix=f"p{number}", credentials=everything)
        room.warm, room.storage, room.database = warm, storage_relay, database_relay
        s3_server.root().create_bucket(Bucket=room.shared)
        made.append((room, name))
        return room

    yield make
    for room, name in made:
        room.remove()
        postgres.drop_database(name)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return a function that keeps a figure for docs/reliability.md: `figure("crash points", scene="migrate", survived=80)`.

    The figures go into the folder that FIGURES names, a file for each process; without it they are only printed.
    """

    def keep(table: str, **values: object) -> None:
        line = json.dumps({"table": table, "test": request.node.nodeid, **values}, default=str)
        print(line)
        if folder := os.environ.get("FIGURES"):
            with (Path(folder) / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    return keep
