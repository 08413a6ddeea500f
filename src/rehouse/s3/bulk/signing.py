"""AWS Signature Version 4 for S3, as pure functions that do not even read the clock.

Paths and queries are signed without normalisation (`a/./b` and `../b` are valid keys), so the transfer must send them
unchanged. A body is signed by its SHA-256, or left unsigned where TLS protects it. `s3/objects/presign.py` signs URLs.
Source: "Authenticating Requests (AWS Signature Version 4)", the S3 API Reference.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import quote

EMPTY_BODY = sha256(b"").hexdigest()
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""Stands in the signature for a body whose bytes are not signed."""
Keys = tuple[str, str, str | None] | tuple[str, str, str | None, float | None]
"""Access key, secret key, token or None, and perhaps when they expire: `Credentials`, for example."""
_RESERVED = re.compile("[^A-Za-z0-9_.~/-]")
UNSENDABLE = re.compile("[\r\n\0]")


def quote_key(key: str) -> str:
    """Return the key for a path: every byte except unreserved ones and `/` is percent-encoded.

    It equals `urllib.parse.quote(key, safe="/~")` but is faster for typical keys.

    >>> quote_key("a b/ü")
    'a%20b/%C3%BC'
    """
    return _RESERVED.sub(lambda found: _escape(found[0]), key)


def query_string(parameters: Iterable[tuple[str, str]]) -> str:
    """Return the canonical query, which is also the one to send.

    It is sorted by pairs, not by `k=v` strings.

    >>> query_string([("prefix", "a b/"), ("list-type", "2")])
    'list-type=2&prefix=a%20b%2F'
    """
    encoded = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters)
    return "&".join(f"{name}={value}" for name, value in encoded)


def sign(
    method: str,
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    credentials: Keys,
    region: str,
    now: float,
    service: str = "s3",
    payload: str = EMPTY_BODY,
) -> list[str]:
    """Return the header lines to send, including `Authorization`.

    `path` is encoded, `query` comes from `query_string`. `headers` have lower-case names and latin-1 values. `now` is in seconds
    since the epoch. `payload` is the hexadecimal SHA-256 of the body, or UNSIGNED_PAYLOAD. Raises ValueError for a value with a
    line break or a zero byte.
    """
    moment = moment_of(credentials, region, service, int(now))
    sent = {**headers, "host": host, "x-amz-content-sha256": payload, "x-amz-date": moment.timestamp}
    if credentials[2] is not None:
        sent["x-amz-security-token"] = credentials[2]
    form = _form(tuple(sent))
    values = form.in_order(sent)
    canonical = form.text % values
    lines = canonical.split("\n")
    joined = " ".join(values).encode("latin-1")
    if b"\0" in joined or b" ".join(joined.split()) != joined:  # some value differs from its canonical form
        if UNSENDABLE.search("".join(values)):
            raise ValueError("a header value holds a line break or a zero byte")
        canonical = form.text % tuple([_trim(value) for value in values])
    text = f"{method}\n{path}\n{query}\n{canonical}\n\n{form.signed}\n{payload}"
    digest = sha256(text.encode("latin-1")).hexdigest()
    signature = moment.keyed.copy()
    signature.update(f"{moment.preamble}{digest}".encode())
    lines.append(
        f"authorization: AWS4-HMAC-SHA256 Credential={moment.credential}, SignedHeaders={form.signed}, "
        f"Signature={signature.hexdigest()}"
    )
    return lines


@dataclass(frozen=True, slots=True, repr=False)
class Moment:
    """What all requests within one second share.

    `keyed` is the HMAC before the message is added, `preamble` the start of that message, `credential` the access key and the
    scope.
    """

    timestamp: str
    keyed: hmac.HMAC
    preamble: str
    credential: str


class _Form(NamedTuple):
    """What all requests with the same header names share: a getter of the sorted values, and the text around them."""

    in_order: Callable[[dict[str, str]], tuple[str, ...]]
    text: str
    signed: str


@lru_cache(maxsize=8)
def moment_of(credentials: Keys, region: str, service: str, second: int) -> Moment:
    """Return what all requests within one second share."""
    access_key, secret_key = credentials[0], credentials[1]
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    preamble = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n"
    return Moment(timestamp, hmac.new(key, digestmod="sha256"), preamble, f"{access_key}/{scope}")


@lru_cache(maxsize=64)
def _form(names: tuple[str, ...]) -> _Form:
    ordered = sorted(names)
    # The name of a metadata entry may contain a percent sign.
    text = "\n".join([f"{name.replace('%', '%%')}:%s" for name in ordered])
    return _Form(itemgetter(*ordered), text, ";".join(ordered))


def _trim(value: str) -> str:
    """Return a header's value as it is signed.

    Only ASCII white space is trimmed; other bytes may be text.
    """
    return b" ".join(value.encode("latin-1").split()).decode("latin-1")


@lru_cache(maxsize=1024)
def _escape(character: str) -> str:
    return "".join([f"%{byte:02X}" for byte in character.encode()])
