"""How long to wait after the versioning of a bucket is enabled.

Amazon S3 needs up to 15 minutes. Until then requests for new objects may return 404, and writes may be treated as unversioned
("Enabling versioning on buckets", S3 User Guide). The application must not depend on the bucket before.
"""

from __future__ import annotations

AWS_SETTLE_SECONDS = 900


def settle_seconds(setting: int | None, *, is_aws: bool) -> int:
    """Return the seconds to wait: the setting, or by default 15 minutes on Amazon S3 and 0 elsewhere.

    >>> settle_seconds(None, is_aws=True), settle_seconds(None, is_aws=False), settle_seconds(60, is_aws=False)
    (900, 0, 60)
    """
    if setting is not None:
        return setting
    return AWS_SETTLE_SECONDS if is_aws else 0


def seconds_left(settle: int, versioned_for: float | None) -> float:
    """Return the seconds that the bucket still needs.

    `versioned_for`: the seconds since rehouse enabled versioning, None if the bucket had it before. It is negative
    between rehouse's request and S3's answer.

    >>> seconds_left(900, None), seconds_left(900, 100.0), seconds_left(900, 2000.0), seconds_left(900, -600.0)
    (0.0, 800.0, 0.0, 1500.0)
    """
    return 0.0 if versioned_for is None or settle == 0 else max(0.0, settle - versioned_for)
