"""The work of a statement grows with the documents, not with their square, whatever PostgreSQL knows of the tables.

Statistics are old just when a run needs them: it fills tables that were small when they were last analysed. PostgreSQL then expects
one row, and chooses a plan that reads a whole table again for each document.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support.plan_work import ExplainingPostgres, read_work
from typer.testing import CliRunner

from bench import database
from bench.servers import Stub, environment, stub
from rehouse.cli.main import app
from rehouse.sandbox.schema import create_application

DOCUMENTS, TENANTS = 2_000, 2
LAYOUT = database.many_tenants(TENANTS, DOCUMENTS // TENANTS)
MOST = 40
"""How many rows a command's statement may go through for each document: several nodes of its plan read all of them."""
MOST_COUNTED = 150
"""The same for `count_range`, which counts up to 3,000 objects for a batch of 25 rows or more."""
ANALYSE = "ANALYZE tenants, documents, s3_migrations, s3_migration_documents, s3_inventory"
ANALYSE_ANOTHER_RUN = (
    "INSERT INTO s3_inventory (run_id, bucket, key) SELECT gen_random_uuid(), 'shared', n::text FROM generate_series(1, 300) n",
    "ANALYZE documents, s3_inventory",
    "DELETE FROM s3_inventory",
)
LIFE = (
    ("plan",),
    ("migrate-all",),
    ("verify", "tenant-1"),
    ("rollback", "--all", "--yes"),
    ("rollback", "--all", "--yes"),
    ("migrate-all",),
    ("finish", "--all", "--after", "0", "--yes"),
)


@pytest.fixture(scope="module")
def explaining(servers_folder: Path) -> Iterator[ExplainingPostgres]:
    """A server that tells its plans and renews no statistics by itself."""
    with ExplainingPostgres(servers_folder / "explaining") as server:
        yield server


@pytest.fixture
def storage() -> Iterator[Stub]:
    with stub(LAYOUT.objects) as running:
        yield running


@pytest.fixture
def url(explaining: ExplainingPostgres, request: pytest.FixtureRequest) -> str:
    """A database with an application's documents that was never analysed."""
    made = explaining.create_database(f"statistics_{abs(hash(request.node.name))}")
    with psycopg.connect(made, autocommit=True) as connection:
        create_application(connection, "integer")
    _execute(
        made,
        f"INSERT INTO tenants (name, slug) SELECT n, 'tenant-' || n FROM generate_series(1, {TENANTS}) n",
        database.insert_documents(LAYOUT.objects, LAYOUT.tenant, LAYOUT.id),
    )
    return made


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("after_init", "before_each"),
    [
        pytest.param((), (), id="never"),
        pytest.param((), (ANALYSE,), id="before each command"),
        pytest.param(ANALYSE_ANOTHER_RUN, (), id="with the objects of another run"),
    ],
)
def test_no_statement_takes_quadratic_time(
    explaining: ExplainingPostgres,
    storage: Stub,
    url: str,
    after_init: tuple[str, ...],
    before_each: tuple[str, ...],
) -> None:
    variables = environment(storage.url, url)
    _run(("init",), variables, explaining)
    _execute(url, *after_init)
    for command in LIFE:
        _execute(url, *before_each)
        _run(command, variables, explaining)


def _run(command: tuple[str, ...], variables: dict[str, str], server: ExplainingPostgres) -> None:
    start = server.log.stat().st_size
    others = dict.fromkeys(name for name in os.environ if name.startswith(("AWS_", "REHOUSE_")))
    done = CliRunner().invoke(app, list(command), env={**others, **variables}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for work in read_work(server.log, start):
        most = MOST_COUNTED if "Count the objects in a range of keys" in work.statement else MOST
        assert work.rows <= most * DOCUMENTS, f"{command}: {work.rows:,} rows for {work.statement}"
