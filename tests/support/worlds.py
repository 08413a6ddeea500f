"""Worlds for tests of the real command, on the session's servers; and the sample data room, migrated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from subprocess import CompletedProcess
from typing import Literal

from tests.support.ceph import CephServer
from tests.support.command import World
from tests.support.independent_check import Outcome, Snapshot, outcome, snapshot

from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.s3_server import S3Server
from rehouse.sandbox.seed import lay_out

Kind = Literal["integer", "uuid", "older_tool"]
KINDS: tuple[Kind, ...] = ("integer", "uuid", "older_tool")
PREFIX = "dataroom-saas"
SETTINGS_ON_CEPH = {"REHOUSE_S3_DIALECT": "ceph"}
_numbers = itertools.count(1)


def worlds_on(
    postgres: PostgresServer, s3_server: S3Server | CephServer, templates: Callable[[str], str]
) -> Iterator[Callable[..., World]]:
    """Yield a function that makes a world without rows and objects, over a template's database or an empty one."""
    names: list[str] = []

    def make(kind: str | None = "integer", *, prefix: str | None = None, shared: str | None = None) -> World:
        number = next(_numbers)
        names.append(f"world_{number}")
        url = postgres.create_database(names[-1], templates(kind) if kind else None)
        world = World(s3_server, url, shared or f"shared-{number}", prefix or f"homes{number}")
        world.more |= SETTINGS_ON_CEPH if isinstance(s3_server, CephServer) else {}
        if shared is None:
            s3_server.root().create_bucket(Bucket=world.shared)
        return world.with_user()

    yield make
    for name in names:
        postgres.drop_database(name)


@dataclass(frozen=True)
class Migrated:
    """The sample after one `migrate-all`: what was there before, and what the command said."""

    world: World
    before: Snapshot
    run: CompletedProcess[str]

    @cached_property
    def after(self) -> Outcome:
        """The world after it, read once."""
        return outcome(self.world.url, self.world.server.root(), self.world.shared)


def sample_on(new_world: Callable[..., World], s3_server: S3Server | CephServer) -> Callable[[Kind], World]:
    """Return a function that makes a world with the sample data room in it."""

    def make(kind: Kind) -> World:
        world = new_world(None, prefix=PREFIX)
        world.prefix = f"{PREFIX}-{next(_numbers)}"  # a prefix of its own: all samples have the same tenants
        lay_out(
            world.url,
            s3_server.root(),
            tenant_id="uuid" if kind == "uuid" else "integer",
            older_tool=kind == "older_tool",
            shared_bucket=world.shared,
        )
        return world

    return make


def migrate(world: World) -> Migrated:
    """Take a snapshot, and run `migrate-all` once."""
    before = snapshot(world.url, world.server.root(), world.shared)
    return Migrated(world, before, world.run("migrate-all"))
