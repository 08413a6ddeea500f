"""The sweep of a server that runs for long: every hour, on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rehouse.core.errors import RehouseError
from rehouse.runtime.storage import TenantStorage

log = logging.getLogger(__name__)
SWEEP_SECONDS = 3600


@contextmanager
def sweep_hourly(storage: TenantStorage, *, seconds: float = SWEEP_SECONDS) -> Iterator[None]:
    """Sweep at once, and then every hour during the block. A sweep that fails is logged, and tried again an hour later."""
    is_over = threading.Event()

    def sweep_until_over() -> None:
        while not is_over.is_set():
            _sweep(storage)
            is_over.wait(seconds)

    thread = threading.Thread(target=sweep_until_over, name="rehouse sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _sweep(storage: TenantStorage) -> None:
    try:
        swept = storage.sweep()
    except RehouseError as error:
        log.warning("sweep: %s", error.message)
        return
    except Exception:  # one failure must not end the sweeps of a server
        log.exception("sweep")
        return
    log.info("sweep: %d uploads, %d objects, %d failed", swept.expired_grants, swept.objects, len(swept.failed))
    for failed in swept.failed:
        log.warning("sweep: %s", failed)
