"""Select the tenants that a command is for, and run one operation for many of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rehouse.core.addressing import choose_only_and_excluded
from rehouse.core.errors import Refused, RehouseError
from rehouse.core.model import Tenant, TenantId
from rehouse.core.progress import BEGUN, DONE, IDLE, Progress
from rehouse.ledger.faults import translate_errors
from rehouse.operations.services import Services

log = logging.getLogger(__name__)

Report = TypeVar("Report")


def choose_tenants(
    services: Services,
    *,
    include_inactive: bool = False,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    among: Collection[TenantId] | None = None,
) -> list[Tenant]:
    """Return the tenants that a …-all command is for.

    Raises Refused if a name matches no tenant or several tenants, and if no tenant is left.

    A tenant named in `only` is included even if it is inactive. `among`: only these ids, None for no such limit.
    """
    tenants = services.ledger.tenants()
    wanted, left_out = choose_only_and_excluded(tenants, only, exclude)
    if wanted and wanted <= left_out:
        raise Refused(
            f"--only and --exclude both name {', '.join(sorted(set(only)))}: no tenant is selected",
            hint="leave one of the two out",
            subject="command line",
        )
    return [
        tenant
        for tenant in tenants
        if (tenant.id in wanted if only else tenant.is_active or include_inactive)
        and tenant.id not in left_out
        and (among is None or tenant.id in among)
    ]


def for_each(
    services: Services,
    tenants: Sequence[Tenant],
    work: Callable[[Services, Tenant], Report],
    *,
    parallel: int,
    enough: Callable[[Report], bool] = lambda report: False,
    is_last_turn: Callable[[Tenant], bool] = lambda tenant: True,
) -> Iterator[Report]:
    """Run `work` for every tenant, `parallel` at a time, each worker with a ledger connection of its own.

    Yields the results in the order of the tenants. It starts no new tenant when the run is stopping or `enough` returns true.
    `is_last_turn`: whether a tenant whose work has just ended has no further turn in this run.
    """
    services.report(Progress("", BEGUN, documents_total=len(tenants)))
    waiting = list(reversed(tenants))
    done: dict[TenantId, Report] = {}
    guard = threading.Lock()

    def next_tenant() -> Tenant | None:
        with guard:
            over = services.stopping.is_set() or any(enough(report) for report in done.values())
            return waiting.pop() if waiting and not over else None

    def work_with(mine: Services) -> None:
        while tenant := next_tenant():
            report = work(mine, tenant)
            services.report(Progress(tenant.slug, DONE if is_last_turn(tenant) else IDLE))
            with guard:
                done[tenant.id] = report

    def one_more() -> None:
        try:
            with translate_errors(), services.worker() as mine:
                work_with(mine)
        except RehouseError as error:
            log.warning("one worker fewer: %s", error.message)

    with ThreadPoolExecutor(max(1, min(parallel, len(tenants)))) as pool:
        workers = [pool.submit(work_with, services)]
        workers += [pool.submit(one_more) for _ in range(min(parallel, len(tenants)) - 1)]
    for each in workers:
        each.result()
    yield from (done[tenant.id] for tenant in tenants if tenant.id in done)
