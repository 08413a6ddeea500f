"""A small world that is never initialised, and that nothing here may change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.support.command import World

COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"


@pytest.fixture(scope="session")
def small_world(new_world: Callable[..., World]) -> World:
    """Two tenants with a document each, and no table of ours."""
    made = new_world("integer")
    for number, slug in enumerate(("acme-corp", "globex"), 1):
        made.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", number, slug, slug)
        made.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES (%s, %s, 'a', 'a', %s, 3)",
            f"d{number}", number, f"k{number}",
        )  # fmt: skip
        made.server.root().put_object(Bucket=made.shared, Key=f"k{number}", Body=b"abc")
    return made


@pytest.fixture
def world(small_world: World) -> Iterator[World]:
    """The small world: its tables, its rows and the server's buckets are the same after the test."""
    before = everything(small_world)
    yield small_world
    assert everything(small_world) == before


def everything(world: World) -> tuple[object, ...]:
    """What a refused command must leave as it was."""
    rows = [world.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in ("tenants", "documents")]
    buckets = {each["Name"] for each in world.server.root().list_buckets()["Buckets"]}
    return (
        world.rows(COLUMNS),
        rows,
        {name for name in buckets if name.startswith((f"{world.prefix}-", world.log_bucket))},
    )
