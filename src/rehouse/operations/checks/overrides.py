"""Settings that are set twice: rehouse.toml has one value, and a variable, which counts, has another."""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.config import Settings, overriding_variables
from rehouse.operations.checks.check import Check, notice

OVERRIDDEN = "settings: set twice"
HINT = "the variables count: unset those that are not meant (`rehouse config` shows what holds)"


def check_overrides(settings: Settings) -> Iterator[Check]:
    """Yield a notice of the variables that override the file, where there are any."""
    for file, names in overriding_variables(settings).items():
        what = "has another value for it" if len(names) == 1 else "has other values for them"
        yield notice(OVERRIDDEN, f"{', '.join(names)}: {file} {what}", HINT)
