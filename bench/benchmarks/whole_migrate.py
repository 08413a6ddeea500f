"""A whole `rehouse migrate` of one tenant on the stub with state and a real PostgreSQL, in two layouts; then `rehouse verify`."""

from __future__ import annotations

import itertools
from functools import partial
from typing import NamedTuple

from bench import database, measuring
from bench.database import Layout
from bench.measuring import Spread, spread
from bench.result import Options, Result, in_rounds
from bench.servers import CountingPostgres, postgres, rehouse, stub
from bench.whole_run import WholeRun, prepare, surroundings, watched

SLUG = "tenant-1"
LIMITS = {"together": 200, "interleaved": 280}
OTHERS = 100_000
"""Objects of other tenants among the keys of the interleaved layout: enough that looking by HEAD is the cheaper way."""


class Migrated(NamedTuple):
    """One migration and the verification after it; `idle_seconds` is the CPU of verifying a tenant without documents."""

    migration: WholeRun
    verification: WholeRun
    idle_seconds: float


def run(options: Options) -> list[Result]:
    """Return the table of the migration by step, and the table of the verification."""
    documents = options.size(5_000, 100_000)
    layouts = [database.together(documents), database.interleaved(documents, max(documents, OTHERS))]
    names = (f"migrate_{number}" for number in itertools.count(1))
    with postgres() as server:
        runs = {layout.name: partial(_migrated, server, layout, names) for layout in layouts}
        made = in_rounds(options.rounds, runs)
    migration, verification = _migration_table(made, documents), _verification_table(made, documents)
    migration.notes += [_foreign(layout, documents) for layout in layouts]
    return [migration, verification]


def _migrated(server: CountingPostgres, layout: Layout, names: itertools.count[str]) -> Migrated:
    name = next(names)
    with stub(layout.objects) as storage:
        url = database.create(server, name, layout)
        prepare(server, storage, url)
        migration = watched(["migrate", SLUG], server, storage, url, slug=SLUG)
        verification = watched(["verify", SLUG], server, storage, url)
        database.add_empty_tenant(url, "idle")
        idle = measuring.run(rehouse("verify", "idle"), surroundings(server, storage, url), statuses=(0, 1))
    server.drop_database(name)
    return Migrated(migration, verification, idle.cpu_seconds)


def _migration_table(made: dict[str, list[Migrated]], documents: int) -> Result:
    result = Result(
        "migrate",
        f"Whole `rehouse migrate` of {documents:,} documents: µs CPU a document",
        ["layout", "step", "client", "PostgreSQL", "requests", "statements"],
        rounds=_rounds(made),
    )
    micros = result.figures["client_micros"] = {}
    for layout, every in made.items():
        runs = [each.migration for each in every]
        for step in runs[0].steps:
            steps = [run.steps.get(step, (0.0, 0.0)) for run in runs]
            result.add(layout, step, *(_micros([each[side] for each in steps], documents) for side in (0, 1)), "", "")
        client = _micros([run.cost.cpu_seconds for run in runs], documents)
        server = _micros([run.server_cpu_seconds for run in runs], documents)
        calls = spread(run.statements.calls for run in runs)
        result.add(layout, "**all**", client, server, f"{runs[-1].requests_total:,}", f"{calls.median:,.0f}")
        result.at_most(f"migrate, keys {layout}, client CPU a document", LIMITS[layout], client, " µs")
        result.at_most(f"PostgreSQL, keys {layout}, CPU a document", 80, server, " µs")
        result.notes.append(_described(layout, runs))
        result.figures[layout] = [_figures(run) for run in runs]
        micros[layout] = [run.cost.cpu_seconds / documents * 1e6 for run in runs]
    result.notes.append("PostgreSQL is the whole server: its backends, and its own writers and checkpoints.")
    return result


def _verification_table(made: dict[str, list[Migrated]], documents: int) -> Result:
    columns = [
        "layout",
        "µs CPU a document",
        "without start-up",
        "PostgreSQL",
        "requests",
        "requests a 1,000",
        "seconds",
        "peak MB",
    ]
    result = Result(
        "verify", f"`rehouse verify` of {documents:,} documents at home, by listing", columns, _rounds(made)
    )
    for layout, every in made.items():
        runs = [each.verification for each in every]
        whole = _micros([run.cost.cpu_seconds for run in runs], documents)
        beyond = _micros([each.verification.cost.cpu_seconds - each.idle_seconds for each in every], documents)
        requests = runs[-1].requests.get("list", 0) + runs[-1].requests.get("head", 0)
        result.add(
            layout,
            whole,
            beyond,
            _micros([run.server_cpu_seconds for run in runs], documents),
            f"{requests:,}",
            f"{requests / documents * 1000:.2f}",
            spread(run.cost.wall_seconds for run in runs),
            spread(run.cost.peak_bytes / 1e6 for run in runs),
        )
        result.at_most(f"verification, keys {layout}, CPU a document", 15, whole, " µs")
        result.at_most(f"verification, keys {layout}, CPU a document without start-up", 15, beyond, " µs")
        result.at_most(f"verification, keys {layout}, requests for 1,000 documents", 2, requests / documents * 1000)
        result.figures[layout] = [_figures(run) for run in runs]
    result.notes.append(
        "Requests are listings and HEADs; reading the bucket's ten settings back comes on top, once a tenant."
    )
    return result


def _rounds(made: dict[str, list[Migrated]]) -> int:
    return len(next(iter(made.values())))


def _micros(seconds: list[float], documents: int) -> Spread:
    return spread(each / documents * 1e6 for each in seconds)


def _described(layout: str, runs: list[WholeRun]) -> str:
    run = runs[-1]
    seconds = spread(each.cost.wall_seconds for each in runs)
    peak = spread(each.cost.peak_bytes / 1e6 for each in runs)
    sent = ", ".join(f"{kind} {count:,}" for kind, count in sorted(run.requests.items()))
    return f"{layout}: {seconds} s, peak {peak} MB; requests: {sent}; CPU of the stub {run.stub_cpu_seconds:.1f} s."


def _foreign(layout: Layout, documents: int) -> str:
    others = layout.objects - documents
    return f"{layout.name}: {others:,} objects of other tenants, {others / documents:.1f} for each document of its own."


def _figures(run: WholeRun) -> dict[str, object]:
    return {
        **run.cost.as_row(),
        "server_cpu_seconds": run.server_cpu_seconds,
        "requests": run.requests,
        "statements": run.statements.calls,
        "costliest_statements": run.statements.costliest,
        "steps": run.steps,
    }
