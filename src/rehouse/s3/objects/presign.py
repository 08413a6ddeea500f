"""Presigned URLs and POST policies: whoever holds one may send exactly that request until it expires. Nothing is sent here.

The signature covers bucket, key, method, query and the headers named in it. So a URL serves one object and one purpose, and a
client that sends another length, type, condition or checksum than the signed one is refused.
Sources: "Authenticating Requests: Using Query Parameters" and "Browser-Based Uploads Using POST", the S3 API Reference.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

from rehouse.core.errors import Refused
from rehouse.core.model import ObjectRef
from rehouse.s3.bulk.requests import key_path, object_name
from rehouse.s3.bulk.signing import UNSENDABLE, UNSIGNED_PAYLOAD, Keys, Moment, moment_of
from rehouse.s3.endpoint import Endpoint
from rehouse.s3.objects.access import Access, PerProcess, access_of
from rehouse.s3.session import Credentials, Session

MOST_SECONDS = 7 * 24 * 3600
"""The longest life of a presigned URL (the page named above)."""
ALGORITHM = "AWS4-HMAC-SHA256"
RENEWED_SECONDS = 1800
SIGNING_SECONDS = 5
"""How long it may take from that answer to the signature."""
RESPONSE_HEADERS = frozenset(
    f"response-{name}"
    for name in (
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    )
)
"""The parameters that set a header of the download (S3 API Reference, GetObject)."""
NOTHING: Mapping[str, str] = {}


class _Escapes(dict[int, str]):
    """A table for `str.translate` that equals `quote(value, safe="~")` and takes a third of its time."""

    def __missing__(self, character: int) -> str:
        """Return what stands for the character, and keep it if it is ASCII."""
        escaped = quote(chr(character), safe="~")
        if character < 128:
            self[character] = escaped
        return escaped


_ESCAPES = _Escapes()
REPLACED_BY_S3 = "${filename}"
"""S3 replaces it in the key of a POST by whatever the browser calls the file."""


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """A form that a browser may post to `url`: these fields in this order, and last the field `file`."""

    url: str
    fields: Mapping[str, str]


class Presigner:
    """Signs URLs with the session's credentials. Safe for threads and forks; sends no request.

    Each method raises Refused for an expiry that S3 would not grant (at most 7 days, and not longer than temporary credentials
    live), StorageRefused if there are no credentials, and ValueError for names that cannot be a bucket's or a key.
    """

    def __init__(self, session: Session, access: PerProcess[Access] | None = None) -> None:
        self._access = access or access_of(session)

    def seconds_for(self, bucket: str, wanted: int) -> int:
        """Return for how many of the `wanted` seconds a URL can be valid, because temporary credentials may expire before.

        They are renewed if less than half an hour is left. Raises StorageRefused, StorageUnavailable.
        """
        identity = self._access().identity_of(bucket)
        wanted = min(wanted, identity.most_url_seconds or wanted)
        credentials = identity.credentials()
        if credentials.expires_at is not None and credentials.expires_at - identity.now() < min(
            wanted, RENEWED_SECONDS
        ):
            credentials = identity.renew()
        if credentials.expires_at is None:
            return wanted
        return max(1, min(wanted, int(credentials.expires_at - identity.now()) - SIGNING_SECONDS))

    def get_url(self, ref: ObjectRef, *, expires: int, response: Mapping[str, str] = NOTHING) -> str:
        """Return a URL that downloads the object for `expires` seconds.

        `response`: parameters such as `response-content-disposition`, which set headers of the download.
        """
        if not response.keys() <= RESPONSE_HEADERS:
            raise ValueError(f"S3 sets no such header: {', '.join(sorted(response.keys() - RESPONSE_HEADERS))}")
        parameters = [("versionId", ref.version), *response.items()] if ref.version else [*response.items()]
        return self._url("GET", ref, parameters, NOTHING, expires)

    def put_url(self, ref: ObjectRef, *, expires: int, signed_headers: Mapping[str, str]) -> str:
        """Return a URL that uploads the object with exactly these headers (lower-case names), which the client must send.

        `content-length` and `content-type` fix size and type, `if-none-match: *` allows one upload, `x-amz-checksum-…` one
        content.
        """
        return self._url("PUT", ref, (), signed_headers, expires)

    def part_url(self, ref: ObjectRef, upload_id: str, number: int, *, length: int, expires: int) -> str:
        """Return a URL that uploads one part of exactly `length` bytes."""
        parameters = [("uploadId", upload_id), ("partNumber", str(number))]
        return self._url("PUT", ref, parameters, {"content-length": str(length)}, expires)

    def abort_url(self, ref: ObjectRef, upload_id: str, *, expires: int) -> str:
        """Return a URL that aborts the upload (DELETE)."""
        return self._url("DELETE", ref, [("uploadId", upload_id)], NOTHING, expires)

    def list_parts_url(self, ref: ObjectRef, upload_id: str, *, expires: int, after: int = 0) -> str:
        """Return a URL that lists the parts uploaded so far (GET), with numbers above `after`."""
        parameters = [("part-number-marker", str(after))] if after else []
        return self._url("GET", ref, [("uploadId", upload_id), *parameters], NOTHING, expires)

    def post_policy(self, ref: ObjectRef, *, expires: int, content_type: str, least: int, most: int) -> PostPolicy:
        """Return the form that uploads the object with this type and a size of `least` to `most` bytes."""
        access = self._access()
        endpoint, now = access.endpoint(ref.bucket), access.identity_of(ref.bucket).now()
        _check_text(content_type)
        if REPLACED_BY_S3 in ref.key:
            raise ValueError(f"S3 would replace {REPLACED_BY_S3} in the key")
        return post_form(
            endpoint, ref.key, content_type, (least, most),
            credentials=_lasting(access, ref, expires), now=now, expires=expires,
        )  # fmt: skip

    def _url(
        self,
        method: str,
        ref: ObjectRef,
        parameters: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        expires: int,
    ) -> str:
        access = self._access()
        endpoint = access.endpoint(ref.bucket)
        return presigned_url(
            method, endpoint, endpoint.path + key_path(ref.key), parameters, headers,
            credentials=_lasting(access, ref, expires), now=access.identity_of(ref.bucket).now(), expires=expires,
        )  # fmt: skip


def presigned_url(
    method: str,
    endpoint: Endpoint,
    path: str,
    parameters: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    *,
    credentials: Keys,
    now: float,
    expires: int,
) -> str:
    """Return the URL of a request with these parameters and headers, which S3 accepts until `now` + `expires` seconds.

    `path` is encoded, `headers` have lower-case names and ASCII values. Raises ValueError for a header with a line break.
    """
    encoded = [f"{name}={value.translate(_ESCAPES)}" for name, value in parameters]
    names = ";".join(sorted(("host", *headers))) if headers else "host"
    front = _front(credentials, (endpoint.region, endpoint.service), int(now), expires, names)
    if headers:
        lines = "\n".join([f"{name}:{_signed_value(headers, name, endpoint)}" for name in names.split(";")])
    else:
        lines = f"host:{endpoint.host}"
    # The names of S3's own parameters are in lower case and sort behind those of the signature.
    query = "&".join([front.canonical, *sorted(encoded)]) if encoded else front.canonical
    text = f"{method}\n{path}\n{query}\n{lines}\n\n{names}\n{UNSIGNED_PAYLOAD}"
    signature = front.moment.keyed.copy()
    signature.update(f"{front.moment.preamble}{sha256(text.encode()).hexdigest()}".encode())
    sent = "&".join([*encoded, front.sent]) if encoded else front.sent
    return f"{endpoint.origin}{path}?{sent}&X-Amz-Signature={signature.hexdigest()}"


def post_form(
    endpoint: Endpoint,
    key: str,
    content_type: str,
    sizes: tuple[int, int],
    *,
    credentials: Keys,
    now: float,
    expires: int,
) -> PostPolicy:
    """Return the signed form of an upload by POST; `sizes` are the least and the most bytes of the file."""
    moment = moment_of(credentials, endpoint.region, endpoint.service, int(now))
    signing = {
        "x-amz-algorithm": ALGORITHM,
        "x-amz-credential": moment.credential,
        "x-amz-date": moment.timestamp,
        **({"x-amz-security-token": credentials[2]} if credentials[2] is not None else {}),
    }
    conditions: list[object] = [["content-length-range", *sizes], {"Content-Type": content_type}]
    conditions += [{"bucket": endpoint.bucket}, {"key": key}]
    conditions += [{name: value} for name, value in signing.items()]
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(now) + expires))
    policy = base64.b64encode(json.dumps({"expiration": until, "conditions": conditions}).encode()).decode()
    signature: hmac.HMAC = moment.keyed.copy()
    signature.update(policy.encode())
    fields = {"Content-Type": content_type, "key": key, **signing}
    url = f"{endpoint.origin}{endpoint.path}"
    is_path_style = endpoint.path != "/"
    return PostPolicy(
        url.rstrip("/") if is_path_style else url,
        {**fields, "policy": policy, "x-amz-signature": signature.hexdigest()},
    )


class _Front(NamedTuple):
    """The parameters of the signature that all URLs of a second share: in the order of S3's examples, and sorted."""

    moment: Moment
    sent: str
    canonical: str


@lru_cache(maxsize=64)
def _front(credentials: Keys, scope: tuple[str, str], second: int, expires: int, names: str) -> _Front:
    moment = moment_of(credentials, *scope, second)
    begin = (
        f"X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={quote(moment.credential, safe='~')}"
        f"&X-Amz-Date={moment.timestamp}&X-Amz-Expires={expires}"
    )
    token = "" if credentials[2] is None else f"&X-Amz-Security-Token={quote(credentials[2], safe='~')}"
    signed = f"&X-Amz-SignedHeaders={quote(names, safe='~')}"
    return _Front(moment, f"{begin}{signed}{token}", f"{begin}{token}{signed}")


def _lasting(access: Access, ref: ObjectRef, expires: int) -> Credentials:
    """Return credentials that live as long as the URL."""
    if not 1 <= expires <= MOST_SECONDS:
        raise Refused(
            f"{object_name(ref)}: a presigned URL cannot be valid for {expires:,} seconds",
            hint="S3 accepts 1 second to 7 days (604,800 seconds)",
            subject=object_name(ref),
        )
    identity = access.identity_of(ref.bucket)
    most = identity.most_url_seconds
    if most is not None and expires > most:
        raise Refused(
            f"{object_name(ref)}: a presigned URL of {expires:,} seconds would outlive the credentials of the tenant",
            hint=f"with role_arn a URL is valid for {most:,} seconds at most: ask for a shorter time",
            subject=object_name(ref),
        )
    credentials = identity.credentials()
    if credentials.expires_at is not None and credentials.expires_at < identity.now() + expires:
        credentials = identity.renew()  # boto3 may have newer ones, or fetch them now
    if credentials.expires_at is not None and (left := credentials.expires_at - identity.now()) < expires:
        raise Refused(
            f"{object_name(ref)}: a presigned URL of {expires:,} seconds would outlive the credentials, which expire in "
            f"{max(0, int(left)):,} seconds",
            hint="ask for a shorter time, or let the role's sessions last longer (duration_seconds in the AWS profile)",
            subject=object_name(ref),
        )
    return credentials


def _signed_value(headers: Mapping[str, str], name: str, endpoint: Endpoint) -> str:
    """Return a header's value as it is signed: without surrounding white space, each run of it as one space."""
    if name == "host":
        return endpoint.host
    return " ".join(_check_text(headers[name]).split())


def _check_text(value: str) -> str:
    """Return the value. Raises ValueError if a header cannot hold it."""
    if UNSENDABLE.search(value) or not value.isascii():
        raise ValueError("a header value holds a line break, a zero byte or a letter outside ASCII")
    return value
