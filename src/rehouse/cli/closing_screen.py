"""The last screen of `rehouse demo`: documents moved, verified and left behind with the reason, the cost, the next steps.

It fits a terminal of 80 columns and 24 lines.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rehouse.cli.output import BLUE, GREEN, YELLOW, console, shorten
from rehouse.cli.progress import human_bytes
from rehouse.core.copies import HINTS, Reason
from rehouse.core.escaping import count_noun

if TYPE_CHECKING:
    from rich.text import Text

WIDTH = 78
RULE = "─" * WIDTH
_LABEL = 15
_WORDS = {"missing_object": "S3 has no object under the row's key"}
"""The meaning of a code, for codes whose message differs by document because it names the key."""
_CENT = Decimal("0.01")


class StayedBehind(NamedTuple):
    """A document that was not moved, with the code of the reason and the reason as a sentence."""

    slug: str
    document_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the demo.

    `documents` of `documents_total` were moved, and `proven` were read back. The others belong to `inactive` tenants, have no file,
    were at home before, or are in `stayed`. `tenants` counts the tenants with a bucket of their own. `dollars` is what AWS charges
    for `requests`.
    """

    seconds: float
    documents: int
    documents_total: int
    documents_inactive: int
    documents_without_file: int
    documents_at_home: int
    tenants: int
    bytes_copied: int
    proven: int
    shared_objects: int
    requests: Counter[str]
    dollars: Decimal
    stayed: Sequence[StayedBehind]
    inactive: Sequence[str]


def show_closing_screen(outcome: Outcome) -> None:
    """Print the screen, in colour on a terminal."""
    out = console()
    for line in closing_lines(outcome):
        out.print(line, soft_wrap=True)


def closing_lines(outcome: Outcome) -> Iterator[Text]:
    """Return the lines of the screen."""
    from rich.text import Text

    documents, stayed = f"{outcome.documents:,}", f"{len(outcome.stayed)} stayed behind"
    size = human_bytes(outcome.bytes_copied)
    yield Text(RULE, style="dim")
    yield Text(f"Demo done in {outcome.seconds:.0f} s: {documents} documents moved, {stayed}.", style="bold")
    yield Text()
    yield _fact("Moved", f"{documents} of {outcome.documents_total:,} documents, {size}; {_buckets(outcome.tenants)}")
    if others := ", ".join(_others(outcome)):
        yield _fact("Not moved", others)
    yield _fact("Proven", f"{outcome.proven:,} of {documents} read back: bytes, headers, metadata, tags equal")
    yield _fact("Shared bucket", f"{outcome.shared_objects:,} objects before and after; none was changed")
    yield _fact("Cost", f"{_requests(outcome)}, {_dollars(outcome.dollars)} on AWS")
    if outcome.stayed:
        yield Text()
        yield Text("Stayed behind", style=YELLOW)
        yield from _reasons(outcome.stayed)
    if outcome.inactive:
        names = ", ".join(outcome.inactive)
        yield Text(f"Inactive, not moved: {shorten(names, 24)} (--include-inactive moves them)")
    yield Text()
    yield Text.assemble(("Next  ", "bold"), (f"{_own_command()} sandbox", BLUE), "  the same servers, for you to try")
    yield Text.assemble("      ", (f"{_own_command()} doctor ", BLUE), "  your database and bucket: README, On AWS")


def _fact(label: str, text: str) -> Text:
    from rich.text import Text

    return Text.assemble((f"{label:<{_LABEL}}", GREEN), text)


def _buckets(tenants: int) -> str:
    return f"{count_noun(tenants, 'tenant')} {'has' if tenants == 1 else 'have'} a bucket now"


def _others(outcome: Outcome) -> Iterator[str]:
    """Yield why documents were not moved, with how many: together with those that were moved these are all."""
    for count, reason in (
        (outcome.documents_inactive, "of inactive tenants"),
        (outcome.documents_without_file, "without a file"),
        (outcome.documents_at_home, "at home before"),
        (len(outcome.stayed), "stayed behind"),
    ):
        if count:
            yield f"{count:,} {reason}"


def _requests(outcome: Outcome) -> str:
    """Return how many requests were sent, and how many of them were copies: one a document, and those that were repeated."""
    repeated = outcome.requests["copy"] - outcome.documents
    more = f", {repeated:,} repeated" if repeated > 0 else ""
    return f"{outcome.requests.total():,} requests ({outcome.documents:,} copies{more})"


def _dollars(dollars: Decimal) -> str:
    return f"${dollars.quantize(_CENT)}" if dollars >= _CENT else "under $0.01"


def _reasons(stayed: Sequence[StayedBehind]) -> Iterator[Text]:
    """Yield for each reason its meaning, the documents that have it, and the hint."""
    from rich.text import Text

    for code in sorted({each.code for each in stayed}):
        found = [each for each in stayed if each.code == code]
        meaning = shorten(_WORDS.get(code, found[0].message), WIDTH - len(code) - 4)
        yield Text.assemble("  ", (code, YELLOW), f": {meaning}")
        documents = ", ".join(f"{each.slug} {each.document_id[:8]}…" for each in found)
        way_out = HINTS[Reason(code)] if code in {*Reason} else ""
        for line in (shorten(documents, WIDTH - 4), *textwrap.wrap(way_out, WIDTH - 4)):
            yield Text(f"    {line}")


def _own_command() -> str:
    """Return the command that starts this program: its name, or its path if it is not on PATH."""
    beside, found = Path(sys.executable).with_name("rehouse"), shutil.which("rehouse")
    if not beside.exists() or (found and beside.samefile(found)):
        return "rehouse"
    here = os.path.relpath(beside)
    return str(beside) if here.startswith("..") else here
