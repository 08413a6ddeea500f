"""The application beside a run: what eight of its connections feel of each command, and what a command leaves in the database.

One database and one stub, through the tenants' whole life: nothing beside, `init`, `migrate-all`, `verify`, there and back under
a limit and under 503s, `finish`. The stub answers after 10 ms. Longest waits are sampled every 20 ms in PostgreSQL (pg_locks).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import psycopg

from bench import database, measuring
from bench.application import Application, Felt, beside
from bench.result import Options, Result
from bench.servers import CountingPostgres, Stub, environment, postgres, rehouse, stub

TENANTS = 20
DATABASE_CORE, OTHERS_CORE = measuring.CLIENT_CORE, measuring.SERVER_CORE
LATENCY = ("--latency-ms", "10")
ENDLESS = (sys.executable, "-I", "-S", "-c", "while True: pass")
MOST_WAIT_MS = 100.0
P99_FACTOR = 3.0
LEDGER = ("s3_migrations", "s3_migration_documents", "s3_migration_events", "s3_inventory")
COMPUTING = "a loop on the database's core"
COLUMNS = [
    "beside",
    "seconds",
    "statements/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "longest ms",
    "longest lock wait ms",
    "connections",
    "longest transaction s",
    "WAL B a document",
    "dead tuples",
    "ledger B a document",
]


@dataclass(frozen=True)
class Phase:
    """A phase's name, how long it took, what was felt, and what the database says after it."""

    name: str
    seconds: float
    felt: Felt
    wal_bytes: int
    dead_tuples: int
    ledger_bytes: int

    @property
    def statements(self) -> int:
        """How many statements the application ran."""
        return len(self.felt.seconds)


def run(options: Options) -> list[Result]:
    """Return one table; it is measured once, however many rounds there are: each phase changes what the next one finds."""
    documents = options.size(2_000, 30_000)
    quiet_seconds = options.size(4, 20)
    layout = database.many_tenants(TENANTS, documents // TENANTS)
    with ExitStack() as running:
        with measuring.on_core(DATABASE_CORE):
            server = running.enter_context(postgres())
        running.enter_context(measuring.on_core(OTHERS_CORE))
        storage = running.enter_context(stub(layout.objects, *LATENCY))
        url = database.create(server, "beside", layout)
        phases = _phases(server, storage, url, quiet_seconds, limit=str(options.size(500, 500)))
    return [_table(phases, documents)]


def _phases(server: CountingPostgres, storage: Stub, url: str, quiet_seconds: int, limit: str) -> list[Phase]:
    with psycopg.connect(url) as connection:
        documents = [str(row[0]) for row in connection.execute("SELECT id FROM documents")]
    command = partial(_command, storage.url, url)
    there, back = ("migrate-all",), ("rollback", "--all", "--yes")
    with beside(url, TENANTS, documents) as application:
        phase = partial(_phase, application, url)
        found = [
            phase("nothing", partial(time.sleep, quiet_seconds)),
            phase(COMPUTING, partial(_compute, quiet_seconds)),
            phase("init", partial(command, "init")),
            phase("migrate-all", partial(command, *there)),
            phase("verify tenant-1", partial(command, "verify", "tenant-1")),
            phase("rollback --all", partial(command, *back)),
            phase(f"migrate-all --max-rate {limit}", partial(command, *there, "--max-rate", limit)),
            phase(f"rollback --all --max-rate {limit}", partial(command, *back, "--max-rate", limit)),
        ]
        storage.allow(float(limit))
        found.append(phase(f"migrate-all, 503s above {limit}/s", partial(command, *there)))
        storage.allow(None)
        found += [
            phase("finish --all --after 0", partial(command, "finish", "--all", "--after", "0", "--yes")),
            phase("nothing, afterwards", partial(time.sleep, quiet_seconds)),
        ]
    return found


def _compute(seconds: int) -> None:
    """Compute on the database's core, without a statement: what any program costs the application that wants this core too."""
    with measuring.on_core(DATABASE_CORE), subprocess.Popen(ENDLESS) as computing:
        time.sleep(seconds)
        computing.kill()


def _command(endpoint: str, url: str, *arguments: str) -> None:
    """Run a command: rows that the application has just inserted wait for their uploads, which may end it with 1."""
    measuring.run(rehouse(*arguments), environment(endpoint, url), core=OTHERS_CORE, statuses=(0, 1))


def _phase(application: Application, url: str, name: str, work: Callable[[], object]) -> Phase:
    before, began, felt = _wal(url), time.monotonic(), application.begin()
    print(f"  beside: {name} …", file=sys.stderr, flush=True)
    work()
    seconds = time.monotonic() - began
    application.begin()
    dead = "SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables"
    sizes = "SELECT sum(coalesce(pg_total_relation_size(to_regclass(name)), 0))::bigint FROM unnest(%s::text[]) name"
    return Phase(name, seconds, felt, _wal(url) - before, _one(url, dead), _one(url, sizes, list(LEDGER)))


def _wal(url: str) -> int:
    return _one(url, "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")


def _one(url: str, query: str, *values: object) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode(), values or None).fetchone()
    return int(row[0] or 0) if row else 0


def _table(phases: Sequence[Phase], documents: int) -> Result:
    title = f"The application beside a run: {documents:,} documents of {TENANTS} tenants, 10 ms a request"
    result = Result("beside", title, COLUMNS)
    quiet = phases[0]
    for each in phases:
        felt, seen = each.felt, each.felt.seen
        own = quiet.wal_bytes / max(1, quiet.statements) * each.statements
        result.add(
            each.name,
            f"{each.seconds:,.1f}",
            f"{each.statements / each.seconds:,.0f}",
            *(f"{felt.at(share) * 1000:,.1f}" for share in (0.5, 0.99, 0.999, 1.0)),
            f"{seen.longest_wait_seconds * 1000:,.0f}",
            f"{seen.connections:,.0f}",
            f"{seen.longest_transaction_seconds:,.2f}",
            f"{max(0.0, each.wal_bytes - own) / documents:,.0f}",
            f"{each.dead_tuples:,}",
            f"{each.ledger_bytes / documents:,.0f}",
        )
    longest = max(phases, key=lambda each: each.felt.seen.longest_wait_seconds)
    result.at_most(
        f"beside a run: longest lock wait of the application ({longest.name})",
        MOST_WAIT_MS,
        longest.felt.seen.longest_wait_seconds * 1000,
        " ms",
    )
    slowest = max((each for each in phases if each.name != COMPUTING), key=lambda each: each.felt.at(0.99))
    factor = slowest.felt.at(0.99) / (quiet.felt.at(0.99) or 1.0)
    result.at_most(f"beside a run: p99 of a statement against none beside ({slowest.name})", P99_FACTOR, factor, " ×")
    result.notes.append(
        "Eight connections that rest 4 ms between statements: 40 % reads, 15 % lists, 25 % updates under the row's lock, "
        "12 % inserts, 8 % deletes; and a transaction that stays open for 3 s of every 6. PostgreSQL has a core of its own; "
        "the application, rehouse and the stub share the other one."
    )
    result.notes.append(
        "Lock waits are sampled: shorter ones than 20 ms may be missed. WAL is that of the server, less what as many "
        "statements of the application wrote with nothing beside."
    )
    result.notes.append(
        "The loop computes and sends no statement: it shows how much of a p99 comes from a full core and not from locks."
    )
    result.figures["phases"] = [
        {"name": each.name, "seconds": each.seconds, "statements": each.statements, "seen": each.felt.seen._asdict()}
        for each in phases
    ]
    return result
