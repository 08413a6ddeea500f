"""`rehouse config`: the effective settings and where each comes from. What it runs is imported when it runs."""

from __future__ import annotations

from rehouse.cli.options import OutputOption


def config(*, output: OutputOption = "text") -> None:
    """Print the effective settings, and where each comes from. Secrets are masked.

    Examples: `rehouse config`, `rehouse config --output json`.
    """
    from rehouse import config as settings
    from rehouse.cli.output import print_report, say_next, table
    from rehouse.core.next_steps import AFTER_CONFIG

    rows = list(settings.effective_settings(settings.load()))

    def show() -> None:
        table(("setting", "value", "from"), rows, whole=("setting",))
        say_next(AFTER_CONFIG)

    print_report(output, {"settings": {name: {"value": value, "from": origin} for name, value, origin in rows}}, show)
