"""`rehouse config`: the effective settings and where each comes from."""

from __future__ import annotations

from rehouse import config as settings
from rehouse.cli.options import OutputOption
from rehouse.cli.show import as_json, table


def config(*, output: OutputOption = "text") -> None:
    """Print the effective settings and where each comes from, secrets masked.

    Examples: `rehouse config`, `rehouse config --output json`.
    """
    rows = list(settings.effective(settings.load()))
    if output == "json":
        as_json({name: {"value": value, "from": origin} for name, value, origin in rows})
    else:
        table(("setting", "value", "from"), rows)
