"""The body of an HTML form that uploads a file."""

from __future__ import annotations

import secrets
from collections.abc import Mapping


def form(fields: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the body of a multipart/form-data request, the file last, and its headers."""
    boundary = secrets.token_hex(8)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()
    ]
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode()
    whole = b"".join([*parts, file, body, f"\r\n--{boundary}--\r\n".encode()])
    return whole, {"content-type": f"multipart/form-data; boundary={boundary}", "content-length": str(len(whole))}
