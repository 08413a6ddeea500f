"""How long a bucket needs after its versioning was enabled."""

from __future__ import annotations

import pytest

from rehouse.core.settling import AWS_SETTLE_SECONDS, seconds_left, settle_seconds


@pytest.mark.parametrize(
    ("setting", "is_aws", "expected"),
    [(None, True, AWS_SETTLE_SECONDS), (None, False, 0), (0, True, 0), (60, True, 60), (60, False, 60)],
)
def test_the_setting_or_what_the_endpoint_needs(setting: int | None, is_aws: bool, expected: int) -> None:
    assert settle_seconds(setting, is_aws=is_aws) == expected


@pytest.mark.parametrize(
    ("settle", "versioned_for", "expected"),
    [
        (900, None, 0),
        (900, 0.0, 900),
        (900, 899.0, 1),
        (900, 900.0, 0),
        (900, 1e9, 0),
        (900, -600.0, 1500),
        (0, -600.0, 0),
        (0, 5.0, 0),
    ],
)
def test_what_is_left(settle: int, versioned_for: float | None, expected: float) -> None:
    assert seconds_left(settle, versioned_for) == expected
