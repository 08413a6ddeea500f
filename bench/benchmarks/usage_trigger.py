"""Loading documents without a usage trigger, with rehouse's, and with one that recounts the tenant's table for every row.

All three load into the same tables with the same indexes (those of `rehouse init`), 1,000 rows a statement, one tenant.
The recounting trigger is stopped where it is no longer bearable.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial
from importlib.resources import files

import psycopg

from bench import database
from bench.benchmarks import usage_rows
from bench.measuring import spread
from bench.result import Options, Result, in_rounds
from bench.servers import CountingPostgres, environment, postgres
from rehouse import config
from rehouse.operations.init import initialise
from rehouse.sandbox.schema import create_application

ROWS_A_STATEMENT = 1000
WITHOUT, OURS, RECOUNTING = "no trigger", "rehouse's trigger", "recounting trigger"
COLUMNS = ["trigger", "rows", "seconds", "rows/s", "× no trigger at as many rows", "last tenth, × the first"]

Growth = list[tuple[int, float]]
"""(rows so far, seconds so far)."""


def run(options: Options) -> list[Result]:
    """Return two tables, for whole statements and row by row; the growth of the first is charted."""
    rows, bearable_seconds = options.size(10_000, 100_000), options.size(5, 60)
    names = (f"usage_{number}" for number in itertools.count(1))
    prepared = {WITHOUT: _without, OURS: _as_it_is, RECOUNTING: _recounting}
    with postgres() as server:
        runs = {
            name: partial(_loaded, server, names, prepare, rows, bearable_seconds) for name, prepare in prepared.items()
        }
        made = in_rounds(options.rounds, runs)
    return [_table(made, rows), usage_rows.run(options)]


def _table(made: dict[str, list[Growth]], rows: int) -> Result:
    title = f"Loading {rows:,} rows into documents, {ROWS_A_STATEMENT:,} a statement"
    result = Result("usage", title, COLUMNS, rounds=len(made[OURS]))
    for name, every in made.items():
        reached = min(growth[-1][0] for growth in every)
        seconds = spread(_seconds(growth, reached) for growth in every)
        against = spread(
            _seconds(mine, reached) / _seconds(base, reached) for mine, base in zip(every, made[WITHOUT], strict=True)
        )
        slower = spread(_slower(growth) for growth in every)
        result.add(name, f"{reached:,}", seconds, f"{reached / seconds.median:,.0f}", against, slower)
        if name == OURS:
            result.at_most("usage trigger against the untriggered load", 1.3, against, " ×")
            steady = slower.median <= 2
            result.goal(
                "usage trigger is linear: last tenth of the rows against the first", "≤ 2 ×", slower, reached=steady
            )
        if name == RECOUNTING:
            subject = "recounting trigger is quadratic: last tenth of its rows against the first"
            result.goal(subject, "> 5 ×", slower, reached=slower.median > 5)
            if reached < rows:
                result.notes.append(f"The recounting trigger was stopped after {reached:,} rows.")
    result.figures["growth"] = {name: every[-1] for name, every in made.items()}
    return result


def _loaded(
    server: CountingPostgres,
    names: itertools.count[str],
    prepare: Callable[[psycopg.Connection], None],
    rows: int,
    bearable_seconds: float,
) -> Growth:
    name = next(names)
    url = server.create_database(name)
    with psycopg.connect(url, autocommit=True) as connection:
        create_application(connection, "integer")
        connection.execute("INSERT INTO tenants (name, slug) VALUES ('Tenant 1', 'tenant-1')")
        initialise(config.load(environment("http://127.0.0.1:1", url)))
        prepare(connection)
        growth = _load(connection, rows, bearable_seconds)
    server.drop_database(name)
    return growth


def _load(connection: psycopg.Connection, rows: int, bearable_seconds: float) -> Growth:
    growth: Growth = []
    began = time.monotonic()
    for first in range(0, rows, ROWS_A_STATEMENT):
        connection.execute(database.insert_documents(ROWS_A_STATEMENT, "1", database.RANDOM, first))
        growth.append((first + ROWS_A_STATEMENT, time.monotonic() - began))
        if growth[-1][1] > bearable_seconds:
            break
    return growth


def _without(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE documents DISABLE TRIGGER USER")


def _as_it_is(connection: psycopg.Connection) -> None:
    """The triggers of `init` stay."""


def _recounting(connection: psycopg.Connection) -> None:
    """The older tool's trigger, as the sandbox has it, in the place of ours."""
    _without(connection)
    text = files("rehouse.sandbox.schema").joinpath("older_tool.sql").read_text(encoding="utf-8")
    function = text[text.index("CREATE FUNCTION update_tenant_storage") :].replace("__tenant_id__", "integer")
    connection.execute(function.encode())


def _seconds(growth: Growth, rows: int) -> float:
    return next(seconds for count, seconds in growth if count >= rows)


def _slower(growth: Growth) -> float:
    """How much longer the last statements took than the first ones: a tenth of them on either side, at least one."""
    tenth = max(1, len(growth) // 10)
    each = [seconds - before for (_, seconds), (_, before) in zip(growth, [(0, 0.0), *growth], strict=False)]
    return sum(each[-tenth:]) / sum(each[:tenth])
