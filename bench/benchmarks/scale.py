"""Does the cost stay flat? A million documents of one tenant against a tenth of them, and a thousand tenants of a hundred.

One run each: they are long. Memory is sampled over time and charted.
"""

from __future__ import annotations

from bench import database
from bench.database import Layout
from bench.result import Options, Result
from bench.servers import CountingPostgres, postgres, stub
from bench.whole_run import WholeRun, prepare, watched

COLUMNS = ["run", "µs CPU a document", "PostgreSQL", "seconds", "peak MB", "requests", "statements"]
PARALLEL = 4
POINTS = 400
PROVISIONING = ("create_bucket", "head_bucket", "put_setting", "get_setting", "identity")


def run(options: Options) -> list[Result]:
    """Return the table of the large tenant and the table of the many tenants."""
    with postgres() as server:
        return [_one_tenant(server, options), _many_tenants(server, options)]


def _one_tenant(server: CountingPostgres, options: Options) -> Result:
    small, large = options.size(5_000, 100_000), options.size(25_000, 1_000_000)
    result = Result("million", f"One tenant of {large:,} documents against {small:,}", COLUMNS)
    runs = {count: _run(server, database.together(count), ["migrate", "tenant-1"]) for count in (small, large)}
    for count, each in runs.items():
        _add(result, f"{count:,} documents", each, count)
    peaks = [each.cost.peak_bytes / 1e6 for each in runs.values()]
    costs = [each.cost.cpu_seconds / count * 1e6 for count, each in runs.items()]
    result.at_most(f"{large:,} documents, peak memory", 200, peaks[1], " MB")
    result.at_most(f"peak memory at {large:,} against {small:,}", 1.15, peaks[1] / peaks[0], " ×")
    result.at_most(f"client CPU a document at {large:,} against {small:,}", 1.15, costs[1] / costs[0], " ×")
    backend = runs[large].server_cpu_seconds / large * 1e6
    result.at_most(f"PostgreSQL, {large:,} documents, CPU a document", 80, backend, " µs")
    more = (runs[large].statements.calls - runs[small].statements.calls) / (large - small) * 1000
    result.at_most("statements for each further 1,000 documents (batches, not documents)", 30, more)
    result.figures["memory"] = {f"{count:,} documents": _thinned(each) for count, each in runs.items()}
    result.figures["costliest_statements"] = runs[large].statements.costliest
    return result


def _many_tenants(server: CountingPostgres, options: Options) -> Result:
    few, many, each = options.size(5, 100), options.size(20, 1000), 100
    result = Result("tenants", f"`migrate-all` of {many:,} tenants of {each} documents against {few:,}", COLUMNS)
    arguments = ["migrate-all", "--parallel", str(PARALLEL)]
    runs = {count: _run(server, database.many_tenants(count, each), arguments) for count in (few, many)}
    for count, run_of in runs.items():
        _add(result, f"{count:,} tenants", run_of, count * each)
    growth = many - few
    provisioning = _grown(runs[few], runs[many], PROVISIONING) / growth
    calls = [run_of.statements.calls / count for count, run_of in runs.items()]
    further = (runs[many].statements.calls - runs[few].statements.calls) / growth
    result.at_most("provisioning, requests a tenant", 22, provisioning)
    at_once = runs[many].provisioned_at_once
    result.goal(
        f"tenants provisioned at one instant, seen by the server (--parallel {PARALLEL})",
        "> 1",
        at_once,
        reached=at_once > 1,
    )
    result.goal(
        f"statements a tenant, at {few:,} and at {many:,}",
        "constant",
        f"{calls[0]:.0f} and {calls[1]:.0f}, each further tenant {further:.0f}",
        reached=calls[1] <= calls[0] * 1.02,
    )
    begun = runs[many].requests.get("list_shared_begun", 0)
    result.goal(f"{many:,} tenants: listings of the shared bucket", "1", begun, reached=begun == 1)
    result.notes.append(
        f"--parallel {PARALLEL}: a tenant is being provisioned from its bucket's creation to its last setting, by the stub's"
        f" clock, and {at_once} were at one instant."
    )
    result.notes.append("The sample schema has no index on documents.tenant_id but those of `init`.")
    result.figures["memory"] = {f"{count:,} tenants": _thinned(run_of) for count, run_of in runs.items()}
    result.figures["costliest_statements"] = runs[many].statements.costliest
    result.figures["requests"] = {str(count): run_of.requests for count, run_of in runs.items()}
    return result


def _run(server: CountingPostgres, layout: Layout, arguments: list[str]) -> WholeRun:
    name = f"scale_{layout.tenants}_{layout.objects}"
    with stub(layout.objects) as storage:
        url = database.create(server, name, layout)
        prepare(server, storage, url)
        made = watched(arguments, server, storage, url)
    server.drop_database(name)
    return made


def _add(result: Result, name: str, made: WholeRun, documents: int) -> None:
    result.add(
        name,
        f"{made.cost.cpu_seconds / documents * 1e6:,.1f}",
        f"{made.server_cpu_seconds / documents * 1e6:,.1f}",
        f"{made.cost.wall_seconds:,.1f}",
        f"{made.cost.peak_bytes / 1e6:,.0f}",
        f"{made.requests_total:,}",
        f"{made.statements.calls:,}",
    )


def _grown(small: WholeRun, large: WholeRun, kinds: tuple[str, ...]) -> int:
    return sum(large.requests.get(kind, 0) - small.requests.get(kind, 0) for kind in kinds)


def _thinned(made: WholeRun) -> list[tuple[float, int]]:
    return made.memory[:: max(1, len(made.memory) // POINTS)]
