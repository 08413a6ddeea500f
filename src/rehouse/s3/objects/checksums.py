"""The checksum that goes with a body: CRC32, which S3 compares with what arrived and keeps with the object.

CRC32 is in the standard library, takes a memoryview, and lets other threads run. Measured on one core: 4.7 GiB/s, 1 µs for 4 KB.
CRC64NVME, S3's own default, would need a package (anycrc: 9 GiB/s, holds the GIL; awscrt: 19 GiB/s, 13 MB) and save 0.1 s a GiB.
Over plain HTTP the signature covers a SHA-256 of the body as well (1.3 GiB/s); over TLS it is left out.
"""

from __future__ import annotations

import base64
import zlib

from rehouse.s3.objects.lines import Body

PREFIX = "x-amz-checksum-"
CRC32 = f"{PREFIX}crc32"
NOT_VALUES = frozenset({f"{PREFIX}algorithm", f"{PREFIX}type", f"{PREFIX}mode"})
"""Headers of that prefix that hold no checksum."""


def crc32_of(body: Body, before: int = 0) -> int:
    """Return the CRC32 of the bytes; `before` is that of the bytes in front of them."""
    return zlib.crc32(body, before)


def header_value(crc32: int) -> str:
    """Return a CRC32 as S3 writes it.

    >>> header_value(crc32_of(b"123456789"))
    'y/Q5Jg=='
    """
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()
