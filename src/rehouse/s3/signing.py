"""AWS Signature Version 4 for S3, pure: nothing is read, not even the clock.

Paths and queries are signed exactly as they go over the wire (no normalisation: `a/./b` and `../b` are keys like any
other), so the transfer must send them as they are. Only requests without a body are signed here.
Source: "Authenticating Requests (AWS Signature Version 4)", the S3 API Reference.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote

EMPTY_BODY = sha256(b"").hexdigest()
_RESERVED = re.compile("[^A-Za-z0-9_.~/-]")
UNSENDABLE = re.compile("[\r\n\0]")


def quoted_key(key: str) -> str:
    """Return the key as it stands in a path: every byte but unreserved ones and `/` percent-encoded.

    The same as `urllib.parse.quote(key, safe="/~")`, without a look at each character of mostly harmless keys.

    >>> quoted_key("a b/ü")
    'a%20b/%C3%BC'
    """
    return _RESERVED.sub(lambda found: _escaped(found[0]), key)


def query_string(parameters: Iterable[tuple[str, str]]) -> str:
    """Return the canonical query, which is also the one to send. Sorted as pairs, not as `k=v` strings.

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
    credentials: tuple[str, str, str | None],
    region: str,
    now: float,
) -> list[str]:
    """Return the header lines to send, `Authorization` included.

    `path` is encoded, `query` is from `query_string`, `headers` have lower-case names, `credentials` are (access key, secret
    key, token or None), `now` is in seconds since the epoch. Raises ValueError for a value that would break out of its line.
    """
    access_key, secret_key, token = credentials
    timestamp = _timestamp(int(now))
    sent = {**headers, "host": host, "x-amz-content-sha256": EMPTY_BODY, "x-amz-date": timestamp}
    if token is not None:
        sent["x-amz-security-token"] = token
    if UNSENDABLE.search("".join(sent.values())):
        raise ValueError("a header value holds a line break or a zero byte")
    names = sorted(sent)
    signed = ";".join(names)
    canonical = "\n".join([f"{name}:{' '.join(sent[name].split())}" for name in names])
    digest = sha256(f"{method}\n{path}\n{query}\n{canonical}\n\n{signed}\n{EMPTY_BODY}".encode()).hexdigest()
    scope = f"{timestamp[:8]}/{region}/s3/aws4_request"
    key = _signing_key(secret_key, timestamp[:8], region)
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}".encode(), "sha256").hex()
    lines = [f"{name}: {value}" for name, value in sent.items()]
    lines.append(
        f"authorization: AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
    )
    return lines


@lru_cache(maxsize=1024)
def _escaped(character: str) -> str:
    return "".join([f"%{byte:02X}" for byte in character.encode()])


@lru_cache(maxsize=4)
def _timestamp(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


@lru_cache(maxsize=8)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
