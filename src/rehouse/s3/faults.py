"""What to do for each S3 error code, HTTP status and curl error number, and the errors with hints for people.

A failed object is data (`Fault`). If the run cannot continue, it raises `StorageRefused`, or `StorageUnavailable` if S3 kept
failing. Messages contain S3's own sentence, and never a header, a signature or a secret.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import botocore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    ParamValidationError,
    SSLError,
)

from rehouse.core.errors import RehouseError, StorageRefused, StorageUnavailable

SHOWN_CHARACTERS = 300
_ABOUT_A_BUCKET = (
    re.compile(
        r"(the (\w+ )?bucket |listing the versions of |removing (objects|an object) of )?(?P<bucket>[\w.-]+)(, .*)?"
    ),
    re.compile(r"s3://(?P<bucket>[\w.-]+)/?"),
    re.compile(r"listing s3://(?P<bucket>[\w.-]+)/.*", re.DOTALL),
)


class Verdict(enum.Enum):
    """What to do with a failed request."""

    RETRY = "send it again after a back-off"
    REFRESH = "fetch credentials and check the clock, then send it once more"
    FINAL = "report a fault of this object"
    REFUSE = "end the run"


CODES = {
    **dict.fromkeys(
        ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException",
         "TooManyRequests", "RequestLimitExceeded", "BandwidthLimitExceeded", "OperationAborted",
         "ConditionalRequestConflict", "IncompleteReply"),
        Verdict.RETRY,
    ),
    **dict.fromkeys(
        ("KMS.DisabledException", "KMS.NotFoundException", "KMS.NotFound", "KMS.InvalidStateException",
         "KMS.KMSInvalidStateException", "KMS.InvalidKeyUsageException", "KMS.AccessDeniedException", "QuotaExceeded",
         "InvalidObjectState", "InvalidBucketState", "NotImplemented", "MethodNotAllowed", "InvalidRequest",
         "InvalidArgument", "MalformedListing", "IncompleteObject"),
        Verdict.FINAL,
    ),
    **dict.fromkeys(("ExpiredToken", "RequestTimeTooSkewed", "TokenRefreshRequired", "RequestExpired"), Verdict.REFRESH),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId", "InvalidSecurity",
         "NotSignedUp", "AccountProblem", "AllAccessDisabled", "NoSuchBucket", "PermanentRedirect", "TemporaryRedirect",
         "Redirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "CertificateError", "ProxyRefused"),
        Verdict.REFUSE,
    ),
}  # fmt: skip

STATUSES = {
    **dict.fromkeys((408, 409, 429, 500, 502, 503, 504), Verdict.RETRY),
    **dict.fromkeys((301, 302, 303, 307, 308, 401, 407), Verdict.REFUSE),
}

NOT_OFFERED = frozenset(
    {"NotImplemented", "XNotImplemented", "MethodNotAllowed", "UnsupportedOperation", "NotSupported", "501", "405"}
)
"""The codes for an operation or a header that the endpoint does not support."""

ACCESS_DENIED, NO_SUCH_BUCKET, NO_SUCH_KEY = "AccessDenied", "NoSuchBucket", "NoSuchKey"
PRECONDITION_FAILED, NOT_IMPLEMENTED = "PreconditionFailed", "NotImplemented"
DENIED = frozenset({ACCESS_DENIED, "AllAccessDisabled", "403"})
"""The codes for missing rights, including the bare status of a HEAD."""
ABSENT = frozenset({NO_SUCH_KEY, "NotFound", "NoSuchVersion", "NoSuchUpload", "404"})
"""The codes for a missing object, version or upload."""
CHANGED = frozenset({PRECONDITION_FAILED, NO_SUCH_KEY})
"""The codes of a copy or removal whose object was changed or deleted after rehouse read it. Read it again."""

CURL_RETRIED = {6, 7, 16, 18, 28, 35, 52, 55, 56, 92}
CURL_UNREACHABLE = {1, 3, 5, 6, 7}
CURL_CERTIFICATE = {51, 53, 54, 58, 59, 60, 66, 77, 80, 82, 83, 90, 91}

_CREDENTIALS = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or AWS_PROFILE"
_REGION = "set AWS_REGION to the bucket's region (`aws s3api get-bucket-location` shows it)"
_RENEW = "renew the credentials (`aws sso login`, or a new session token)"
_KEY = (
    "the KMS key of the object or of the tenant's bucket is disabled, deleted or not allowed: enable it, or allow its use in "
    "the key's policy (`rehouse iam-policy` prints the rights)"
)
_LACKING = "this endpoint does not offer that: `rehouse doctor --probe` shows what it lacks"
_ACCOUNT = "AWS has restricted this account: see its console or support"
RIGHTS_HINT = "`rehouse iam-policy` prints the rights that are needed"
HINTS = {
    "InvalidAccessKeyId": _CREDENTIALS,
    "InvalidClientTokenId": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "InvalidSecurity": _CREDENTIALS,
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to this access key, or a proxy changes requests",
    "ExpiredToken": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "RequestExpired": _RENEW,
    "RequestTimeTooSkewed": "set this machine's clock: S3 accepts 15 minutes of difference",
    "NoSuchBucket": "check the bucket's name, and that AWS_ENDPOINT_URL_S3 is the right endpoint",
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "Redirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AccessDenied": f"{RIGHTS_HINT}; `rehouse doctor` tests them",
    "Unreachable": "check AWS_ENDPOINT_URL_S3, HTTPS_PROXY, HTTP_PROXY and NO_PROXY, the region and the network",
    "ProxyRefused": "the proxy answered, not S3: check HTTPS_PROXY or HTTP_PROXY and its password, or name S3's host in NO_PROXY",
    "CertificateError": "the endpoint's certificate is not trusted: AWS_CA_BUNDLE names a file with your authority's",
    "BucketAlreadyExists": "another account has a bucket of this name; the next run uses another suffix",
    "InvalidTargetBucketForLogging": "REHOUSE_LOG_BUCKET must be a bucket of the same account and region",
    "TooManyBuckets": "ask AWS for a higher bucket quota (Service Quotas)",
    "NotSignedUp": _ACCOUNT,
    "AccountProblem": _ACCOUNT,
    "AllAccessDisabled": _ACCOUNT,
    "QuotaExceeded": "a quota of this endpoint is used up: raise it, or delete something",
    "InvalidRequest": "S3 refuses this request; an object under a customer's own key (SSE-C) must be written again without one",
    "NotImplemented": _LACKING,
    "MethodNotAllowed": _LACKING,
    "MalformedListing": "rehouse needs listings like those of Amazon S3: ListObjectsV2, in the order of the keys' bytes, each "
    "object with its ETag. Directory buckets, LeoFS, Storj and s3gw have other listings: copy the objects to another server first",
    "IncompleteObject": "rehouse needs the ETag, the size and the time of each object: this endpoint does not show them",
}
PASSING = frozenset({"ConnectionLost", "Unreachable"})
"""rehouse's own codes for failures that may pass at another attempt."""
KMS_PASSING = ("Throttling", "Internal", "Timeout", "Unavailable")
ENDPOINT_HINT = (
    "check AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT and the region, and in the AWS profile endpoint_url, services"
    " and s3"
)
_OF_ENDPOINTS = (
    botocore.exceptions.EndpointProviderError,
    botocore.exceptions.BaseEndpointResolverError,
    botocore.exceptions.InvalidEndpointConfigurationError,
    botocore.exceptions.InvalidConfigError,
    botocore.exceptions.UnsupportedS3ConfigurationError,
)
_ANY = "`rehouse doctor` checks credentials, rights and the endpoint"
_STANDS = "the message comes from the server: correct what it names; until then every attempt fails in the same way"


def verdict(code: str, status: int = 0, errno: int = 0) -> Verdict:
    """Return what to do with a failed request.

    The code decides first, then curl's error number (0: the transfer was complete), then the HTTP status.
    """
    if code in CODES:
        return CODES[code]
    if code.startswith("KMS."):
        return Verdict.RETRY if any(word in code for word in KMS_PASSING) else Verdict.FINAL
    if errno in CURL_RETRIED:
        return Verdict.RETRY
    if errno:
        return Verdict.REFUSE if errno in CURL_UNREACHABLE else Verdict.FINAL
    return STATUSES.get(status, Verdict.FINAL)


def transport_code(errno: int, status: int = 0) -> str:
    """Return our code for a transfer that curl could not complete.

    `status` is the HTTP status of a proxy, if any.
    """
    if 400 <= status < 500:
        return "ProxyRefused"
    if errno in CURL_CERTIFICATE:
        return "CertificateError"
    return "Unreachable" if errno in CURL_UNREACHABLE else "ConnectionLost"


def way_out(code: str, again: str) -> str:
    """Return the hint for an object that failed with this code.

    It includes `again` only if another attempt may help.

    >>> way_out("SlowDown", "run it again")
    'run it again'
    >>> "again" in way_out("KMS.DisabledException", "run it again") + way_out("NeverHeardOf", "run it again")
    False
    """
    if code in HINTS:
        return HINTS[code]
    if code in PASSING or code.startswith("HTTP5") or verdict(code) is Verdict.RETRY:
        return again
    return _KEY if code.startswith("KMS.") else _STANDS


def bucket_of(subject: str) -> str:
    """Return the name of the bucket that a request is about, for programs; any other subject unchanged, on one line.

    >>> bucket_of("the shared bucket b-1"), bucket_of("listing s3://b-1/k/"), bucket_of("b-1, policy")
    ('b-1', 'b-1', 'b-1')
    >>> bucket_of("s3://b-1/k"), bucket_of("the AWS credentials")
    ('s3://b-1/k', 'the AWS credentials')
    """
    found = next((match for pattern in _ABOUT_A_BUCKET if (match := pattern.fullmatch(subject))), None)
    return found["bucket"] if found else show_on_one_line(subject)


def refused_error(code: str, message: str, subject: str, *, region: str | None = None) -> StorageRefused:
    """Return the error for a run that cannot continue.

    `region`: the right region, if S3 named it.
    """
    hint = (
        f"the bucket is in {show_on_one_line(region)}: set AWS_REGION={show_on_one_line(region)}"
        if region
        else HINTS.get(code, _ANY)
    )
    told = f"{show_on_one_line(subject)}: {code}: {show_on_one_line(message)}"
    return StorageRefused(told, hint=hint, code=code, subject=bucket_of(subject))


def unavailable_error(code: str, message: str, subject: str) -> StorageUnavailable:
    """Return the error for an endpoint that kept failing after every retry."""
    return StorageUnavailable(
        f"{show_on_one_line(subject)}: {code}: {show_on_one_line(message)}",
        hint="S3 kept failing; run the same command again later",
        code=code,
        subject=bucket_of(subject),
    )


def translate_error(error: ClientError | BotoCoreError, subject: str) -> RehouseError:
    """Translate an error of boto3: StorageUnavailable if another attempt may help, else StorageRefused."""
    if isinstance(error, ClientError):
        return _translate_reply(error, subject)
    message = str(error)
    if isinstance(error, SSLError):
        return refused_error("CertificateError", message, subject)
    if isinstance(error, (botocore.exceptions.ConnectionError, HTTPClientError)):
        lost = type(error).__name__ in {
            "ReadTimeoutError",
            "ConnectionClosedError",
            "ResponseStreamingError",
            "IncompleteReadError",
        }
        return (
            unavailable_error("ConnectionLost", message, subject)
            if lost
            else refused_error("Unreachable", message, subject)
        )
    if isinstance(error, ParamValidationError):
        return refused_error("InvalidRequest", message, subject)
    hint = ENDPOINT_HINT if isinstance(error, _OF_ENDPOINTS) else _CREDENTIALS
    return StorageRefused(
        f"{show_on_one_line(subject)}: {show_on_one_line(message)}",
        hint=hint,
        code=type(error).__name__,
        subject=bucket_of(subject),
    )


@contextmanager
def translate_errors(subject: str) -> Iterator[None]:
    """Translate boto3's errors in the block into errors of rehouse about `subject`."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise translate_error(error, subject) from error


def show_on_one_line(text: str) -> str:
    """Return the text on one line for a terminal or a log: escaped, at most 300 characters."""
    line = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"


_HEAD_CODES = {
    "301": "PermanentRedirect",
    "400": "BadRequest",
    "403": "AccessDenied",
    "404": "NotFound",
    "407": "ProxyRefused",
}


def _translate_reply(error: ClientError, subject: str) -> RehouseError:
    reply = cast("dict[str, Any]", error.response)
    found = reply.get("Error", {})
    metadata = reply.get("ResponseMetadata", {})
    code = _HEAD_CODES.get(str(found.get("Code")), str(found.get("Code") or "Unknown"))
    message = str(found.get("Message") or code)
    if verdict(code, int(metadata.get("HTTPStatusCode") or 0)) is Verdict.RETRY:
        return unavailable_error(code, message, subject)
    region = found.get("Region") or metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    return refused_error(code, message, subject, region=region if CODES.get(code) is Verdict.REFUSE else None)
