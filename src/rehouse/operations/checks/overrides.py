"""Find settings that are set twice: rehouse.toml has one value, and an environment variable, which wins, has another."""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.config import Settings, overriding_variables
from rehouse.operations.checks.check import Check, notice

OVERRIDDEN = "settings: set twice"
HINT = "the variables win: unset those that you do not want (`rehouse config` shows the effective settings)"


def check_overrides(settings: Settings) -> Iterator[Check]:
    """Yield a notice about the variables that override the file, if there are any."""
    for file, names in overriding_variables(settings).items():
        what = "has another value for it" if len(names) == 1 else "has other values for them"
        yield notice(OVERRIDDEN, f"{', '.join(names)}: {file} {what}", HINT)
