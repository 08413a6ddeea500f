"""Whether the first bytes of an upload are of the type that was declared, by the signatures that puremagic knows.

A type whose files all begin alike must show its signature. Any other type must not show the signature of something else.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from rehouse.core.errors import ConfigurationError

HEAD_BYTES = 4096
"""How many bytes are read: no signature that puremagic looks for at a fixed place lies behind them, but that of ISO images."""
SURE = 0.3
"""puremagic's confidence is a tenth of the length of a signature: shorter ones than three bytes also begin ordinary texts."""
_OFFICE = "application/vnd.openxmlformats-officedocument"
ALWAYS_SIGNED = frozenset(
    {
        "application/pdf",
        "application/zip",
        "application/gzip",
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/tiff",
        f"{_OFFICE}.wordprocessingml.document",
        f"{_OFFICE}.spreadsheetml.sheet",
        f"{_OFFICE}.presentationml.presentation",
    }
)
"""Types whose files always begin with a signature. An MP3 file, for example, may begin with its sound."""
UNSPECIFIC = frozenset({"", "application/octet-stream", "binary/octet-stream"})
SAME = (
    frozenset({"image/jpeg", "image/jpg", "image/pjpeg"}),
    frozenset({"image/heic", "image/heif"}),
    frozenset({"application/zip", "application/x-zip-compressed"}),
    frozenset({"application/xml", "text/xml"}),
    frozenset({"audio/mpeg", "audio/mp3"}),
    frozenset({"application/gzip", "application/x-gzip"}),
)
"""Names of one type."""


def find_mismatch(declared: str, head: bytes) -> str | None:
    """Return what the first bytes show instead of the declared type, None if they do not contradict it.

    Raises ConfigurationError if puremagic is not installed.
    """
    wanted = _names_of(declared.partition(";")[0].strip().lower())
    if wanted & UNSPECIFIC:
        return None
    shown = _shown(head)
    if any(_is_same(name, shown) for name in wanted):
        return None
    if shown:
        return f"the bytes are of the type {shown[0]}"
    return f"the bytes do not begin like {declared}" if wanted & ALWAYS_SIGNED else None


def _names_of(name: str) -> frozenset[str]:
    return next((group for group in SAME if name in group), frozenset({name}))


def _is_same(name: str, shown: list[str]) -> bool:
    return name in shown or (name.endswith("+xml") and "application/xml" in shown)


def _shown(head: bytes) -> list[str]:
    """Return the types whose signatures the bytes show, the most certain first."""
    puremagic = _puremagic()
    try:
        found = puremagic.magic_string(head)
    except (ValueError, puremagic.PureError):  # no bytes, or no signature
        return []
    return [each.mime_type for each in found if each.mime_type and each.confidence >= SURE]


def _puremagic() -> Any:
    try:
        return import_module("puremagic")
    except ImportError:
        raise ConfigurationError(
            "the type of an upload cannot be checked: puremagic is not installed", hint="pip install 'rehouse[sniff]'"
        ) from None
