"""How to write an origin in a CORS rule, so that it equals the Origin header that browsers send.

S3 compares the two as plain text. Source: "ASCII serialization of an origin", the HTML and URL standards.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}
_WRITTEN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def origin_as_sent(written: str) -> str | None:
    """Return the origin that a browser sends for a page at this address.

    None if no page has such an origin.

    >>> origin_as_sent("HTTPS://App.Example.com:443/login")
    'https://app.example.com'
    >>> origin_as_sent("app.example.com")
    'https://app.example.com'
    """
    text = written.strip().strip("\"'")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        sent = _serialise(parts)
    except (ValueError, UnicodeError):
        return None
    return sent if _WRITTEN.fullmatch(sent) else None


def check_origin(written: str) -> str:
    """Return the origin if browsers send it exactly so.

    Raises ValueError with the right form otherwise.
    """
    if written == "null":
        raise ValueError("null is the origin of every sandboxed page: name the origin of the application's own pages")
    if "*" in written:
        raise ValueError(
            f"name every origin exactly, such as https://app.example.com: {written} lets other pages upload"
        )
    sent = origin_as_sent(written)
    if "@" in written:
        raise ValueError(f"an origin has no user and password: write {sent or 'it without them'}")
    if sent is None:
        raise ValueError(
            f"{written} is not an origin: write scheme, host and port only, such as https://app.example.com"
        )
    if sent != written:
        raise ValueError(f"no browser sends the origin {written}: write {sent}")
    return written


def _serialise(parts: SplitResult) -> str:
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    host = f"[{host}]" if ":" in host else host.encode("idna").decode() if not host.isascii() else host
    port = "" if parts.port in {None, DEFAULT_PORTS.get(scheme)} else f":{parts.port}"
    return f"{scheme}://{host}{port}"
