"""Worlds for tests of the real command, on the session's servers; and the sample data room, migrated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from subprocess import CompletedProcess
from typing import Literal

from tests.support.ceph import CephServer
from tests.support.data_room import Room
from tests.support.independent_check import Outcome, Snapshot, outcome, snapshot

from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.s3_server import S3Server
from rehouse.sandbox.seed import lay_out

Kind = Literal["integer", "uuid", "older_tool"]
KINDS: tuple[Kind, ...] = ("integer", "uuid", "older_tool")
PREFIX = "dataroom-saas"
SETTINGS_ON_CEPH = {"REHOUSE_S3_DIALECT": "ceph"}
_numbers = itertools.count(1)


def rooms_on(
    postgres: PostgresServer, s3_server: S3Server | CephServer, templates: Callable[[str], str]
) -> Iterator[Callable[..., Room]]:
    """Yield a function that makes a room without rows and objects, over a template's database or an empty one."""
    names: list[str] = []

    def make(kind: str | None = "integer", *, prefix: str | None = None, shared: str | None = None) -> Room:
        number = next(_numbers)
        names.append(f"world_{number}")
        url = postgres.create_database(names[-1], templates(kind) if kind else None)
        room = Room(url, shared or f"shared-{number}", s3_server, prefix=prefix or f"homes{number}")
        room.more |= SETTINGS_ON_CEPH if isinstance(s3_server, CephServer) else {}
        if shared is None:
            s3_server.root().create_bucket(Bucket=room.shared)
        return room.with_user()

    yield make
    for name in names:
        postgres.drop_database(name)


@dataclass(frozen=True)
class Migrated:
    """The sample after one `migrate-all`: what was there before, and what the command said."""

    room: Room
    before: Snapshot
    run: CompletedProcess[str]

    @cached_property
    def after(self) -> Outcome:
        """The room after it, read once."""
        return outcome(self.room.url, self.room.server.root(), self.room.shared)


def sample_on(new_room: Callable[..., Room], s3_server: S3Server | CephServer) -> Callable[[Kind], Room]:
    """Return a function that makes a room with the sample data room in it."""

    def make(kind: Kind) -> Room:
        room = new_room(None, prefix=PREFIX)
        room.prefix = f"{PREFIX}-{next(_numbers)}"  # a prefix of its own: all samples have the same tenants
        lay_out(
            room.url,
            s3_server.root(),
            tenant_id="uuid" if kind == "uuid" else "integer",
            older_tool=kind == "older_tool",
            shared_bucket=room.shared,
        )
        return room

    return make


def migrate(room: Room) -> Migrated:
    """Take a snapshot, and run `migrate-all` once."""
    before = snapshot(room.url, room.server.root(), room.shared)
    return Migrated(room, before, room.run("migrate-all"))
