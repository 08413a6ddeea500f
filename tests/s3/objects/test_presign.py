"""Presigned URLs and POST policies are botocore's, byte for byte, and never outlive what signed them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, urlsplit

import botocore.auth
import botocore.signers
import pytest
from botocore.config import Config
from botocore.session import Session as Botocore
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.content_disposition import content_disposition
from rehouse.core.errors import ConfigurationError, Refused, StorageRefused
from rehouse.core.model import ObjectRef
from rehouse.s3.objects.access import access_of
from rehouse.s3.objects.presign import _ESCAPES, Presigner, presigned_url

NOW = 1795392000.7
KEY = "documents/a b/Übersicht +~'()!*.pdf"
WEEK = 7 * 24 * 3600
PLACES = {
    "standard": {"region": "eu-west-1"},
    "us-east-1": {"region": "us-east-1"},
    "China": {"region": "cn-north-1"},
    "GovCloud": {"region": "us-gov-west-1"},
    "dual stack": {"region": "eu-west-1", "environment": {"AWS_USE_DUALSTACK_ENDPOINT": "true"}},
    "path style": {"region": "eu-west-1", "profile": "s3 =\n  addressing_style = path"},
    "another server": {"region": "us-east-1", "endpoint_url": "http://127.0.0.1:9000"},
    "a base path": {"region": "us-east-1", "endpoint_url": "https://gateway.example:8443/base/"},
    "a session token": {"region": "eu-west-1", "environment": {"AWS_SESSION_TOKEN": "FwoG/+a=="}},
}
GIVEN_HEADERS = {
    "ContentLength": ("content-length", "4096"),
    "ContentType": ("content-type", "application/pdf; charset=x"),
    "IfNoneMatch": ("if-none-match", "*"),
    "ChecksumCRC32": ("x-amz-checksum-crc32", "AAAAAA=="),
    "ChecksumSHA256": ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
}
DISPOSITION = content_disposition("Ünder\r\n\u202e\"'%.pdf")
URLS = {
    "a download": (
        lambda sign: sign.get_url(ObjectRef("home-1", KEY), expires=900),
        ("get_object", {"Bucket": "home-1", "Key": KEY}, 900),
    ),
    "a version with response headers": (
        lambda sign: sign.get_url(
            ObjectRef("home-1", KEY, "v/+=1"),
            expires=WEEK,
            response={"response-content-disposition": DISPOSITION, "response-content-type": "text/plain; a=b"},
        ),
        (
            "get_object",
            {
                "Bucket": "home-1",
                "Key": KEY,
                "VersionId": "v/+=1",
                "ResponseContentDisposition": DISPOSITION,
                "ResponseContentType": "text/plain; a=b",
            },
            WEEK,
        ),
    ),
    "an upload": (
        lambda sign: sign.put_url(ObjectRef("home-1", KEY), expires=60, signed_headers=dict(GIVEN_HEADERS.values())),
        (
            "put_object",
            {"Bucket": "home-1", "Key": KEY}
            | {name: int(value) if name == "ContentLength" else value for name, (_, value) in GIVEN_HEADERS.items()},
            60,
        ),
    ),
    "a part": (
        lambda sign: sign.part_url(ObjectRef("home-1", KEY), "u~1/x", 12, length=8388608, expires=900),
        (
            "upload_part",
            {"Bucket": "home-1", "Key": KEY, "UploadId": "u~1/x", "PartNumber": 12, "ContentLength": 8388608},
            900,
        ),
    ),
    "an abort": (
        lambda sign: sign.abort_url(ObjectRef("home-1", KEY), "u", expires=900),
        ("abort_multipart_upload", {"Bucket": "home-1", "Key": KEY, "UploadId": "u"}, 900),
    ),
    "the parts": (
        lambda sign: sign.list_parts_url(ObjectRef("home-1", KEY), "u", expires=900, after=1000),
        ("list_parts", {"Bucket": "home-1", "Key": KEY, "UploadId": "u", "PartNumberMarker": 1000}, 900),
    ),
    "the first parts": (
        lambda sign: sign.list_parts_url(ObjectRef("home-1", KEY), "u", expires=900),
        ("list_parts", {"Bucket": "home-1", "Key": KEY, "UploadId": "u"}, 900),
    ),
}


@pytest.fixture
def stopped_clock(monkeypatch):
    """Botocore's clock, stopped at ours."""

    def now(remove_tzinfo=True):
        return datetime.fromtimestamp(int(NOW), UTC).replace(tzinfo=None if remove_tzinfo else UTC)

    for module in (botocore.auth, botocore.signers):
        monkeypatch.setattr(module, "get_current_datetime", now)


def signing(session):
    return Presigner(session, access_of(session, lambda: NOW))


def theirs(place):
    """A client of botocore in the same surroundings; virtual hosts, or it would sign for the global host."""
    style = "path" if "path" in place.get("profile", "") or place.get("endpoint_url") else "virtual"
    config = Config(signature_version="s3v4", s3={"addressing_style": style})
    return Botocore().create_client("s3", place["region"], endpoint_url=place.get("endpoint_url"), config=config)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_urls_are_botocores_byte_for_byte(surroundings, stopped_clock, place):
    sign = signing(surroundings(**place))
    client = theirs(place)
    for name, (ours, (operation, parameters, expires)) in URLS.items():
        expected = client.generate_presigned_url(operation, Params=parameters, ExpiresIn=expires)
        assert ours(sign) == expected, name


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_post_policies_are_botocores_byte_for_byte(surroundings, stopped_clock, place):
    form = signing(surroundings(**place)).post_policy(
        ObjectRef("home-1", KEY), expires=900, content_type="text/plain", least=1, most=10
    )
    expected = theirs(place).generate_presigned_post(
        "home-1", KEY, Fields={"Content-Type": "text/plain"},
        Conditions=[["content-length-range", 1, 10], {"Content-Type": "text/plain"}], ExpiresIn=900,
    )  # fmt: skip
    assert form.fields == expected["fields"]
    assert list(form.fields) == list(expected["fields"])
    assert form.url == expected["url"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80))
def test_whatever_a_name_holds_its_url_is_one_line(name):
    from rehouse.s3.bulk.requests import key_path
    from rehouse.s3.endpoint import Endpoint

    endpoint = Endpoint("https://b.example.org", "b.example.org", "/", "bucket", "us-east-1")
    shown = content_disposition(name)
    url = presigned_url(
        "GET", endpoint, "/" + key_path(name), [("response-content-disposition", shown)], {},
        credentials=("AKID", "secret", None), now=NOW, expires=1,
    )  # fmt: skip
    assert url.isascii() and url.isprintable() and " " not in url
    assert parse_qs(urlsplit(url).query)["response-content-disposition"] == [shown]
    assert "secret" not in url


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_parameter_is_escaped_as_the_standard_library_does(value):
    assert value.translate(_ESCAPES) == quote(value, safe="~")


@pytest.mark.parametrize("expires", [0, -1, WEEK + 1, 8 * 24 * 3600])
def test_no_url_is_valid_longer_than_seven_days(surroundings, expires):
    sign = signing(surroundings(region="eu-west-1"))
    with pytest.raises(Refused, match="s3://home-1/a") as refusal:
        sign.get_url(ObjectRef("home-1", "a"), expires=expires)
    assert f"{expires:,} seconds" in refusal.value.message
    assert "7 days" in refusal.value.hint
    with pytest.raises(Refused):
        sign.post_policy(ObjectRef("home-1", "a"), expires=expires, content_type="a/b", least=0, most=1)


def profile_of(tmp_path, expirations):
    """A profile whose credentials come from a program: each call tells the next expiration."""
    (tmp_path / "left").write_text("\n".join(expirations))
    program = tmp_path / "program.py"
    program.write_text(f"""
import json, pathlib
left = pathlib.Path({str(tmp_path / "left")!r})
expiration, *others = left.read_text().split("\\n")
left.write_text("\\n".join(others or [expiration]))
print(json.dumps({{"Version": 1, "AccessKeyId": "AKID" + expiration[:4], "SecretAccessKey": "the-secret",
                  "SessionToken": "the-token", "Expiration": expiration}}))
""")
    return f"credential_process = {sys.executable} {program}"


@pytest.fixture
def temporary(surroundings, monkeypatch, tmp_path):
    """Return a function that makes a Presigner whose credentials expire in so many seconds, one number a renewal."""
    import time

    now = time.time()

    def make(*seconds):
        moments = [datetime.fromtimestamp(now + each, UTC).isoformat() for each in seconds]
        session = surroundings(profile=profile_of(tmp_path, moments), region="eu-west-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        return Presigner(session, access_of(session, lambda: now))

    return make


def test_no_url_outlives_temporary_credentials(temporary):
    sign = temporary(3600)
    assert "X-Amz-Expires=3590" in sign.get_url(ObjectRef("home-1", "a"), expires=3590)
    with pytest.raises(Refused, match="outlive the credentials") as refusal:
        sign.get_url(ObjectRef("home-1", "a"), expires=3602)
    assert "s3://home-1/a" in refusal.value.message
    assert "3,602 seconds" in refusal.value.message
    said = refusal.value.message + refusal.value.hint + str(refusal.value.__context__)
    assert "the-secret" not in said and "the-token" not in said
    with pytest.raises(Refused, match="outlive"):
        sign.post_policy(ObjectRef("home-1", "a"), expires=3602, content_type="a/b", least=0, most=1)


def test_old_credentials_are_renewed_before_a_url_is_refused(temporary):
    sign = temporary(700, 3600)  # boto3 renews what has less than 15 minutes left
    url = sign.get_url(ObjectRef("home-1", "a"), expires=900)
    assert "the-token" in url


def test_permanent_keys_have_no_end(surroundings):
    session = surroundings(region="eu-west-1")
    assert session.credentials().expires_at is None
    assert signing(session).get_url(ObjectRef("home-1", "a"), expires=WEEK)


BAD = {
    "a line break in a header": lambda sign, ref: sign.put_url(
        ref, expires=1, signed_headers={"content-type": "a\r\nb"}
    ),
    "a letter outside ASCII": lambda sign, ref: sign.put_url(ref, expires=1, signed_headers={"content-type": "ü"}),
    "an empty key": lambda sign, ref: sign.get_url(ObjectRef("home-1", ""), expires=1),
    "a bucket with a slash": lambda sign, ref: sign.get_url(ObjectRef("home-1/../other", "a"), expires=1),
    "a parameter that is none": lambda sign, ref: sign.get_url(ref, expires=1, response={"versionId": "1"}),
    "a filename that S3 replaces": lambda sign, ref: sign.post_policy(
        ObjectRef("home-1", "temp/${filename}"), expires=1, content_type="a/b", least=0, most=1
    ),
    "a line break in a form": lambda sign, ref: sign.post_policy(ref, expires=1, content_type="a\nb", least=0, most=1),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_be_signed_is_an_error(surroundings, bad):
    with pytest.raises(ValueError, match=r"holds|cannot|no bucket|no such|would replace"):
        bad(signing(surroundings(region="eu-west-1")), ObjectRef("home-1", "a"))


def test_without_credentials_the_reason_is_named(surroundings, monkeypatch):
    session = surroundings(region="eu-west-1", environment={"AWS_EC2_METADATA_DISABLED": "true"})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(StorageRefused, match="no AWS credentials"):
        signing(session).get_url(ObjectRef("home-1", "a"), expires=1)
    with pytest.raises(ConfigurationError):
        Presigner(surroundings(region="eu-west-1", environment={"AWS_ENDPOINT_URL_S3": "minio:9000"}))


def test_a_policy_says_exactly_what_may_be_uploaded(surroundings):
    import base64

    form = signing(surroundings(region="eu-west-1")).post_policy(
        ObjectRef("home-1", "temp/1/a"), expires=60, content_type="a/b", least=5, most=5
    )
    policy = json.loads(base64.b64decode(form.fields["policy"]))
    assert policy["expiration"] == "2026-11-23T00:01:00Z"
    assert policy["conditions"][:4] == [
        ["content-length-range", 5, 5], {"Content-Type": "a/b"}, {"bucket": "home-1"}, {"key": "temp/1/a"},
    ]  # fmt: skip
