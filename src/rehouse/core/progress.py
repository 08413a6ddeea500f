"""One frozen event, one callback: operations report, the command line shows. Nothing here draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

REPORTED_EVERY = 500
"""Where a document costs a microsecond or so, only every so many of them are reported."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far `step` (copy, verify, flip, …) of a tenant is. `subject` is a slug or a bucket's name; totals None: unknown.

    `text` is shown instead of counts where nothing is counted, such as while the run waits.
    """

    subject: str
    step: str
    documents: int = 0
    documents_total: int | None = None
    copied_bytes: int = 0
    text: str | None = None


Report = Callable[[Progress], None]


def silent(event: Progress) -> None:
    """Report to nobody."""
