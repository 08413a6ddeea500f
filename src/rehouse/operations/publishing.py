"""Publish the progress of a command once a second for `status --watch`, from a thread with a connection of its own.

Publishing never slows the command down or makes it fail. If rehouse cannot publish, it logs that once. A command that ends within a
second publishes nothing and opens no connection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rehouse.core.errors import RehouseError
from rehouse.core.watching import Snapshot, changes, snapshot
from rehouse.ledger.progress import NotPublished, Publication
from rehouse.operations.counters import Counters
from rehouse.operations.services import Services

log = logging.getLogger(__name__)

SECONDS_BETWEEN = 1.0
SECONDS_AFTER_FAILURE = 10.0
LONGEST_GOODBYE = 2.0
"""How many seconds a command waits at its end until its rows are deleted; after that, the next command deletes them."""


@contextmanager
def publish_progress(services: Services, counters: Counters, command: str) -> Iterator[None]:
    """Publish the counters during the block. `command`: its name for people."""
    is_over = threading.Event()
    publisher = threading.Thread(
        target=_publish, args=(services, counters, command, is_over), name="progress", daemon=True
    )
    publisher.start()
    try:
        yield
    finally:
        is_over.set()
        publisher.join(LONGEST_GOODBYE)


def _publish(services: Services, counters: Counters, command: str, is_over: threading.Event) -> None:
    publication: Publication | None = None
    told: Snapshot = {}
    is_logged, pause = False, SECONDS_BETWEEN
    while not is_over.wait(pause):
        pause = SECONDS_BETWEEN
        try:
            if publication is None:
                run_id, catalog = services.ledger.run_id, services.ledger.catalog
                publication = Publication.open(services.settings, catalog, run_id=run_id, command=command)
            told = _publish_changes(publication, counters, told)
        except RehouseError as error:
            if isinstance(error, NotPublished):
                log.warning("`status --watch` does not see this command: %s; %s", error.message, error.hint)
                return
            if not is_logged:
                log.warning("`status --watch` does not see this command for a while: %s", error.message)
            if publication is not None:
                publication.give_up()
            publication, told, is_logged, pause = None, {}, True, SECONDS_AFTER_FAILURE
    if publication is not None:
        publication.close()


def _publish_changes(publication: Publication, counters: Counters, told: Snapshot) -> Snapshot:
    """Publish what has changed since the last time; send nothing if nothing has."""
    overall, at_work = counters.now()
    now = snapshot(overall, at_work)
    changed, ended = changes(told, now)
    if changed or ended:
        publication.put(changed, ended, elapsed=overall.elapsed_seconds)
    return now
