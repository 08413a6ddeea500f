"""An object in an earlier bucket is outdated only if its document's source was written after it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rehouse.core.earlier_homes import is_outdated
from rehouse.core.model import ListedObject

COPIED_AT = datetime(2026, 1, 2, 3, 4, 5, 600_000, UTC)


def listed(size=3, **later):
    return ListedObject("k", "etag", size, "STANDARD", COPIED_AT + timedelta(**later))


@pytest.mark.parametrize(
    ("source", "outdated"),
    [
        (None, False),
        (listed(days=-1), False),
        (listed(seconds=-1), False),
        (listed(milliseconds=-400), True),
        (listed(milliseconds=-400, size=4), False),
        (listed(milliseconds=300, size=4), False),
        (listed(seconds=1, size=4), True),
        (listed(days=1), True),
    ],
)
def test_only_a_later_source_makes_it_outdated(source, outdated):
    assert is_outdated(listed(), source) is outdated
