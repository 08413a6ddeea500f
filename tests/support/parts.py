"""Documents that are copied in parts."""

from __future__ import annotations

from typing import Any

from rehouse.operations.steps.guarded_copies import SMALL_BYTES

PART_BYTES = SMALL_BYTES // 2
IN_PARTS: dict[str, Any] = {"multipart_threshold_bytes": SMALL_BYTES, "multipart_part_bytes": PART_BYTES}
"""Three parts. S3 takes none below 5 MiB but the last; the test server does not mind."""
