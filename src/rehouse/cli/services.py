"""Open the services for a command: settings, log, progress, and the two-step answer to Ctrl-C."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

from rehouse import config
from rehouse.cli import envelope, output, process
from rehouse.cli.logs import log_requests, log_settings, log_to
from rehouse.cli.process import collect_seldom
from rehouse.cli.progress import Kind, show_progress
from rehouse.config import Settings
from rehouse.core.exit_status import ExitStatus, exit_status
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.usage import settle_usage
from rehouse.operations.counters import Counters

if TYPE_CHECKING:
    from rehouse.operations.services import Services


@contextmanager
def services(
    *, writes: bool, max_rate: float | None = None, slugs: Sequence[str] = (), progress: Kind | None = None
) -> Iterator[Services]:
    """Open everything that an operation needs, with progress on stderr. The tenants `slugs` must exist before anything changes."""
    from rehouse.operations.publishing import publish_progress
    from rehouse.operations.services import Services  # imports the S3 client, which `status` does not need

    collect_seldom()
    settings = load_settings()
    if max_rate:
        settings = settings.model_copy(update={"max_rate": max_rate})
    with (
        log_to(settings.log_file),
        show_progress(progress) as report,
        Services.open(settings, writes=writes, report=(counters := Counters(report)), slugs=slugs) as opened,
        stop_on_signals(opened),
        publish_progress(opened, counters, envelope.ending.command or "rehouse"),
    ):
        if writes:
            envelope.ending.begin_run(opened.ledger.run_id)
        try:
            yield opened
        finally:
            log_requests(opened.bulk.requests + opened.control.requests)


@contextmanager
def ledger() -> Iterator[Ledger]:
    """Open the ledger alone, for commands that need no S3."""
    settings = load_settings()
    with log_to(settings.log_file), closing(Ledger.open(settings, writes=False)) as opened:
        settle_usage(opened.connection, opened.catalog)
        yield opened


def load_settings() -> Settings:
    """Return the settings, for commands that open what they need themselves."""
    settings = config.load()
    log_settings(settings)
    return settings


@contextmanager
def stop_on_signals(opened: Services) -> Iterator[None]:
    """Stop on signals: the first saves what is under way, the second stops at once. Every step can be killed at any instant."""

    def stop() -> None:
        opened.stop()
        saving = ": saving what is under way" if opened.writes else ""
        if not output.style.quiet:
            output.say_aside(f"stopping{saving} (again: stop at once)")

    with process.stop_on_signals(stop, again=lambda: os._exit(ExitStatus.INTERRUPTED)):
        yield


class QuarantineReport(Protocol):
    """A report that counts documents in quarantine apart from other problems."""

    @property
    def quarantined(self) -> int:
        """How many documents are in quarantine."""
        ...

    @property
    def is_well_otherwise(self) -> bool:
        """Whether there is no other problem."""
        ...


def finish_by(reports: Iterable[QuarantineReport], *, allow_quarantined: bool, interrupted: bool = False) -> None:
    """End the command with the exit status that follows from these reports."""
    judged = list(reports)
    finish(
        well=all(each.is_well_otherwise for each in judged),
        quarantined=sum(each.quarantined for each in judged),
        allow_quarantined=allow_quarantined,
        interrupted=interrupted,
    )


def finish(
    *,
    well: bool,
    quarantined: int = 0,
    allow_quarantined: bool = False,
    interrupted: bool = False,
    is_checked: bool = True,
) -> None:
    """End the command with its exit status; `well`: nothing is wrong except for documents in quarantine."""
    sys.stdout.flush()
    status = exit_status(
        is_well=well,
        quarantined=quarantined,
        allow_quarantined=allow_quarantined,
        interrupted=interrupted,
        is_checked=is_checked,
    )
    if status is not ExitStatus.DONE:
        raise typer.Exit(status)
