"""The table of verdicts, and the errors that boto3's become: each with a subject, a hint and no secret."""

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.s3.faults import CODES, HINTS, Verdict, refused_error, show_on_one_line, translate_error, verdict, way_out

TABLE = [
    ("SlowDown", 503, 0, Verdict.RETRY),
    ("InternalError", 200, 0, Verdict.RETRY),
    ("IncompleteReply", 200, 0, Verdict.RETRY),
    ("RequestTimeout", 400, 0, Verdict.RETRY),
    ("OperationAborted", 409, 0, Verdict.RETRY),
    ("AnythingElse", 409, 0, Verdict.RETRY),
    ("HTTP500", 500, 0, Verdict.RETRY),
    ("HTTP502", 502, 0, Verdict.RETRY),
    ("HTTP504", 504, 0, Verdict.RETRY),
    ("ExpiredToken", 400, 0, Verdict.REFRESH),
    ("RequestTimeTooSkewed", 403, 0, Verdict.REFRESH),
    ("AccessDenied", 403, 0, Verdict.FINAL),
    ("NoSuchKey", 404, 0, Verdict.FINAL),
    ("InvalidObjectState", 403, 0, Verdict.FINAL),
    ("PreconditionFailed", 412, 0, Verdict.FINAL),
    ("NotImplemented", 501, 0, Verdict.FINAL),
    ("QuotaExceeded", 503, 0, Verdict.FINAL),
    ("KMS.DisabledException", 400, 0, Verdict.FINAL),
    ("KMS.AnythingElse", 500, 0, Verdict.FINAL),
    ("KMS.ThrottlingException", 400, 0, Verdict.RETRY),
    ("KMS.KMSInternalException", 500, 0, Verdict.RETRY),
    ("NeverHeardOf", 400, 0, Verdict.FINAL),
    ("NoSuchBucket", 404, 0, Verdict.REFUSE),
    ("InvalidAccessKeyId", 403, 0, Verdict.REFUSE),
    ("SignatureDoesNotMatch", 403, 0, Verdict.REFUSE),
    ("PermanentRedirect", 301, 0, Verdict.REFUSE),
    ("AuthorizationHeaderMalformed", 400, 0, Verdict.REFUSE),
    ("HTTP307", 307, 0, Verdict.REFUSE),
    *(("ConnectionLost", 0, errno, Verdict.RETRY) for errno in (18, 28, 35, 52, 55, 56)),
    ("Unreachable", 0, 6, Verdict.RETRY),
    ("Unreachable", 0, 7, Verdict.RETRY),
    ("Unreachable", 0, 3, Verdict.REFUSE),
    ("CertificateError", 0, 60, Verdict.REFUSE),
    ("ConnectionLost", 0, 63, Verdict.FINAL),
]


@pytest.mark.parametrize(("code", "status", "errno", "expected"), TABLE)
def test_the_table(code, status, errno, expected):
    assert verdict(code, status, errno) is expected


@given(st.text(), st.integers(0, 999), st.integers(0, 99))
def test_every_failure_has_a_verdict(code, status, errno):
    assert verdict(code, status, errno) in Verdict


@pytest.mark.parametrize(
    "code", [code for code, decision in CODES.items() if decision in {Verdict.REFUSE, Verdict.REFRESH}]
)
def test_every_refusal_has_a_hint_of_its_own(code):
    assert code in HINTS
    error = refused_error(code, "why", "s3://b")
    assert (error.hint, error.code, error.exit_status) == (HINTS[code], code, 2)
    assert "s3://b" in error.message


FINAL_CODES = (
    "KMS.DisabledException", "KMS.NotFoundException", "KMS.NotFound", "QuotaExceeded", "InvalidRequest", "MethodNotAllowed",
    "NotImplemented", "AccountProblem", "AllAccessDisabled", "AccessDenied", "MalformedListing", "NeverHeardOf", "Unknown",
)  # fmt: skip


@pytest.mark.parametrize("code", FINAL_CODES)
def test_what_is_final_is_never_to_be_run_again(code):
    hint = way_out(code, "run `rehouse migrate acme --only-failed`")
    assert hint
    assert "run `rehouse migrate" not in hint
    assert "run the same command again" not in refused_error(code, "why", "s3://b").hint


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "ConnectionLost", "HTTP502", "KMS.ThrottlingException"])
def test_what_passes_is_to_be_run_again(code):
    assert way_out(code, "run it") == "run it"


def client_error(code, status=400, headers=None, **fields):
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError({"Error": {"Code": code, "Message": "why", **fields}, "ResponseMetadata": metadata}, "Operation")


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (client_error("SlowDown", 503), StorageUnavailable, "SlowDown"),
        (client_error("AccessDenied", 403), StorageRefused, "AccessDenied"),
        (client_error("403", 403), StorageRefused, "AccessDenied"),
        (client_error("404", 404), StorageRefused, "NotFound"),
        (client_error("ExpiredToken"), StorageRefused, "ExpiredToken"),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="http://x"), StorageRefused, "Unreachable"),
        (botocore.exceptions.ProxyConnectionError(proxy_url="http://x"), StorageRefused, "Unreachable"),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="http://x"), StorageRefused, "Unreachable"),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="http://x"), StorageUnavailable, "ConnectionLost"),
        (botocore.exceptions.SSLError(endpoint_url="http://x", error="bad"), StorageRefused, "CertificateError"),
        (botocore.exceptions.NoCredentialsError(), StorageRefused, "NoCredentialsError"),
        (botocore.exceptions.ParamValidationError(report="x"), StorageRefused, "InvalidRequest"),
    ],
)
def test_boto3s_errors_become_ours(error, kind, code):
    found = translate_error(error, "s3://home")
    assert (type(found), found.code) == (kind, code)
    assert "s3://home" in found.message
    assert found.hint


def test_the_right_region_is_named():
    redirect = client_error("301", 301, {"x-amz-bucket-region": "eu-west-1"})
    malformed = client_error("AuthorizationHeaderMalformed", 400, Region="eu-west-2")
    assert "AWS_REGION=eu-west-1" in translate_error(redirect, "s3://b").hint
    assert "AWS_REGION=eu-west-2" in translate_error(malformed, "s3://b").hint


def test_a_real_refusal_is_translated(storage_settings):
    client = boto3.client(
        "s3",
        endpoint_url=storage_settings.endpoint_url,
        region_name="us-east-1",
        aws_secret_access_key="not-the-secret",
        aws_access_key_id="AKIANOBODY",
        config=Config(s3={"addressing_style": "path"}),
    )
    with pytest.raises((ClientError, BotoCoreError)) as raised:
        client.list_objects_v2(Bucket="any")
    error = translate_error(raised.value, "s3://any")
    assert error.code == "InvalidAccessKeyId"
    assert "not-the-secret" not in str(error) + error.hint


@given(st.text())
def test_what_is_shown_is_one_short_printable_line(text):
    line = show_on_one_line(text)
    assert line.isprintable()
    assert len(line) <= 300
