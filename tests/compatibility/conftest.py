"""What the compatibility tests share with those of the reliability: places, the warm command, and the figures."""

from __future__ import annotations

from tests.reliability.conftest import (
    database_relay,
    everything,
    figure,
    new_place,
    ready_database,
    storage_relay,
    warm,
)

__all__ = ["database_relay", "everything", "figure", "new_place", "ready_database", "storage_relay", "warm"]
