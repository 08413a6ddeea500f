"""The command `sweep`, for a scheduler: the sweep of the application's storage."""

from __future__ import annotations

from typing import Annotated

import typer

from rehouse.cli.options import OutputOption
from rehouse.cli.output import print_report, say, to_json_types

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Count what would be removed, remove nothing.")]


def sweep(*, dry_run: DryRunOption = False, output: OutputOption = "text") -> None:
    """Remove what uploads of `TenantStorage` have left. Run it every hour.

    Examples: `rehouse sweep`, `rehouse sweep --dry-run`.
    """
    from rehouse.cli.logs import log_to
    from rehouse.cli.services import finish, load_settings
    from rehouse.core.escaping import count_noun
    from rehouse.runtime.storage import TenantStorage

    settings = load_settings()
    with log_to(settings.log_file), TenantStorage.open(settings) as storage:
        swept = storage.sweep(dry_run=dry_run)

    def show() -> None:
        verb = "To remove" if dry_run else "Removed"
        uploads = count_noun(swept.expired_grants, "upload")
        say(f"{verb}: {uploads} that expired, {count_noun(swept.objects, 'object')}. Failed: {len(swept.failed):,}.")
        for each in swept.failed:
            say(f"  {each}")

    print_report(output, to_json_types(swept) | {"dry_run": dry_run}, show)
    finish(well=not swept.failed)
