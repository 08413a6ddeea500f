"""The command `accept`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.options import OutputOption, ReasonOption, SlugArgument
from rehouse.cli.output import say
from rehouse.cli.reports import end_migration

if TYPE_CHECKING:
    from rehouse.operations.report import ReturnReport, TenantReport


def accept(
    slug: SlugArgument,
    documents: Annotated[
        list[str], typer.Argument(metavar="DOCUMENT", help="The document's id; can be repeated.", show_default=False)
    ],
    *,
    reason: ReasonOption,
    output: OutputOption = "text",
) -> None:
    """Leave documents where they are, on purpose. They no longer count as errors.

    Example: `rehouse accept acme 7f3a 81bc --reason "lost before 2024, the customer knows"`.
    """
    from rehouse.cli.services import services
    from rehouse.operations import accept as accepting

    with services(writes=True, slugs=[slug]) as opened:
        report = accepting.accept(opened, opened.ledger.tenant(slug), documents, reason)
    if output == "text":
        say(*(f"accepted: {document}" for document in documents))
    return _finish_accepted(report, output)


def _finish_accepted(report: TenantReport | ReturnReport, output: str) -> None:
    from rehouse.cli.commands.rollback import end_rollback
    from rehouse.operations.report import ReturnReport

    if isinstance(report, ReturnReport):
        return end_rollback([report], output)
    return end_migration([report], output, ran=False, until=None)
