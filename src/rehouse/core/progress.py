"""The progress event and its callback: operations report progress, the command line displays it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

REPORTED_EVERY = 500
"""Fast loops report progress once per so many documents."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step (copy, verify, flip, …) is.

    `subject` is the slug of a tenant or the name of a bucket. `documents_total` is None if unknown. `text` replaces the counts
    when there is nothing to count, for example while the run waits.
    """

    subject: str
    step: str
    documents: int = 0
    documents_total: int | None = None
    copied_bytes: int = 0
    text: str | None = None


Report = Callable[[Progress], None]


def silent(event: Progress) -> None:
    """Ignore the event."""
