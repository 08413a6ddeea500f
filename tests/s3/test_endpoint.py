"""Where requests go is botocore's own answer, for both planes: URL, host, signature, proxy, certificates."""

from __future__ import annotations

import calendar
import time

import pytest
from botocore.exceptions import BotoCoreError
from tests.support.endpoints import CASES, PRIVATE_LINK

from rehouse.core.errors import ConfigurationError, StorageRefused
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.buckets.control import Control
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.bulk.signing import sign
from rehouse.s3.faults import translate_error

LONG = "legacy_" + "l" * 90
NAMES = ("home", "with.dots", "Capitals", "under_score", LONG)
KEY = "a b/ü/../+%2F~"


class Stopped(Exception):
    def __init__(self, request):
        self.request = request


def prepared(session, operation, **arguments):
    """The request that the control plane would send."""

    def stop(request, **_):
        raise Stopped(request)

    client = session.client("s3")
    client.meta.events.register_first("before-send.s3", stop)
    with pytest.raises(Stopped) as stopped:
        getattr(client, operation)(**arguments)
    return stopped.value.request


def signed_as(request, theirs):
    """The Authorization of a request of the bulk plane, with the headers and the moment of botocore's."""
    told = theirs.headers["Authorization"]
    names = (told if isinstance(told, str) else told.decode()).partition("SignedHeaders=")[2].partition(",")[0]
    headers = {name: value if isinstance(value := theirs.headers[name], str) else value.decode()
               for name in names.split(";") if name != "host"}  # fmt: skip
    now = calendar.timegm(time.strptime(headers.pop("x-amz-date"), "%Y%m%dT%H%M%SZ"))
    del headers["x-amz-content-sha256"]
    endpoint = request.endpoint
    lines = sign(
        request.method, endpoint.host, request.path, request.query, headers,
        credentials=("AKIDEXAMPLE", "a-secret-key", None), region=endpoint.region, service=endpoint.service, now=now,
    )  # fmt: skip
    return lines[-1].partition(": ")[2]


def the_same(request, theirs):
    query = f"?{request.query}" if request.query else ""
    told = theirs.headers["Authorization"]
    # botocore keeps a default port in the URL and leaves it out of what it signs
    assert f"{request.endpoint.origin}{request.path}{query}" == theirs.url.replace("org:443", "org").replace(
        "S3.Ex", "s3.ex"
    )
    assert signed_as(request, theirs) == (told if isinstance(told, str) else told.decode())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_planes_go_to_the_same_url_with_the_same_signature(surroundings, case):
    session = surroundings(
        profile=case.profile, environment=case.environment, region=case.region, endpoint_url=case.endpoint_url
    )
    plane = BulkPlane(session, max_in_flight=1, max_rate=None)
    for name in NAMES:
        endpoint = session.endpoint(name)
        expected = (case.url if name == "home" else case.dotted or case.url).format(name)
        assert f"{endpoint.origin}{endpoint.path}" == expected
        assert (endpoint.region, endpoint.service) == (case.region, "s3")
        task = CopyTask("1", ObjectRef("shared", "k"), "aa", 1, "STANDARD", ObjectRef(name, KEY))
        copy = plane._copy_request(task, guarded=True)
        the_same(copy, prepared(session, "copy_object", Bucket=name, Key=KEY, CopySource="shared/k"))
        (head,) = plane._head_requests([ObjectRef(name, KEY, "v+/=1")], False, None)
        the_same(head, prepared(session, "head_object", Bucket=name, Key=KEY, VersionId="v+/=1"))
    assert session.is_aws is case.is_aws
    assert session.uses_tls is case.url.startswith("https:")
    assert session.endpoint("home") is session.endpoint("home")


REFUSED = {
    "no scheme": ({"AWS_ENDPOINT_URL_S3": "minio:9000"}, ""),
    "no host": ({"AWS_ENDPOINT_URL_S3": "http://"}, ""),
    "another scheme": ({"AWS_ENDPOINT_URL": "ftp://minio:9000"}, ""),
    "a password": ({}, "endpoint_url = http://me:not-to-be-shown@minio:9000"),
    "a query": ({"AWS_ENDPOINT_URL": "http://minio:9000/?a=b"}, ""),
    "no such section": ({}, "services = nowhere"),
    "no section": ({}, "s3 = path"),
    "FIPS where there is none": ({"AWS_USE_FIPS_ENDPOINT": "true", "AWS_REGION": "cn-north-1"}, ""),
}


@pytest.mark.parametrize(("environment", "profile"), REFUSED.values(), ids=REFUSED)
def test_an_invalid_endpoint_is_refused_and_not_repeated(surroundings, environment, profile):
    region = environment.get("AWS_REGION", "us-east-1")
    with pytest.raises(ConfigurationError) as refusal:
        surroundings(profile=profile, environment=environment, region=region).endpoint("home")
    assert "the endpoint of s3" in refusal.value.message
    assert ("AWS_ENDPOINT_URL_S3" in refusal.value.hint) is ("URL" in refusal.value.message)
    assert "AWS_" in refusal.value.hint
    assert "AWS_ACCESS_KEY_ID" not in refusal.value.hint
    assert "not-to-be-shown" not in refusal.value.message + refusal.value.hint + str(refusal.value.__context__)


def test_missing_certificates_are_told_before_anything_is_sent(surroundings):
    with pytest.raises(StorageRefused) as refusal:
        surroundings(environment={"AWS_CA_BUNDLE": "/no/such/file.pem"}).endpoint("home")
    assert "/no/such/file.pem" in refusal.value.message
    assert "AWS_CA_BUNDLE" in refusal.value.hint


@pytest.mark.parametrize("where", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "profile"])
def test_the_certificates_are_those_of_botocore(surroundings, tmp_path, where):
    (tmp_path / "ca.pem").touch()
    session = (
        surroundings(profile=f"ca_bundle = {tmp_path / 'ca.pem'}")
        if where == "profile"
        else surroundings(environment={where: str(tmp_path / "ca.pem")})
    )
    assert session.endpoint("home").ca_bundle == str(tmp_path / "ca.pem")


def test_a_client_that_has_no_endpoint_says_the_same(surroundings):
    session = surroundings(environment={"AWS_USE_FIPS_ENDPOINT": "true"}, region="cn-north-1")
    with pytest.raises(BotoCoreError) as error:
        session.client("s3").head_bucket(Bucket="home")
    refusal = translate_error(error.value, "home")
    assert "FIPS" in refusal.message
    assert "AWS_USE_FIPS_ENDPOINT" in refusal.hint


ELSEWHERE = "http://s3.example.org:9000"
STS = {
    "Amazon's": ({}, None, "https://sts.us-east-1.amazonaws.com"),
    "FIPS": ({"AWS_USE_FIPS_ENDPOINT": "true"}, None, "https://sts-fips.us-east-1.amazonaws.com"),
    "a private link of S3 alone": ({}, PRIVATE_LINK, "https://sts.us-east-1.amazonaws.com"),
    "another server for all": ({"AWS_ENDPOINT_URL": ELSEWHERE}, None, ELSEWHERE),
    "its own": ({"AWS_ENDPOINT_URL_STS": "http://sts.example.org"}, ELSEWHERE, "http://sts.example.org"),
    "Amazon's by name": ({"AWS_ENDPOINT_URL_STS": "https://sts.amazonaws.com"}, ELSEWHERE, "https://sts.amazonaws.com"),
    "another server's S3 alone": ({"AWS_ENDPOINT_URL_S3": ELSEWHERE}, None, None),
    "another server's by the setting": ({}, ELSEWHERE, None),
}


@pytest.mark.parametrize(("environment", "endpoint_url", "expected"), STS.values(), ids=STS)
def test_an_s3_endpoint_is_never_used_for_sts_or_iam(surroundings, environment, endpoint_url, expected):
    session = surroundings(environment=environment, endpoint_url=endpoint_url)
    assert session.offers("sts") is (expected is not None)
    if expected:
        assert session.client("sts").meta.endpoint_url.rstrip("/") == expected
    if "AWS_ENDPOINT_URL" not in environment:
        assert "amazonaws.com" in session.client("iam").meta.endpoint_url
        assert session.offers("iam") is session.is_aws
    if expected is None:
        assert Control(session).identity().account is None


def test_the_applications_profile_goes_where_ours_goes(surroundings):
    session = surroundings(
        profile=f"endpoint_url = {ELSEWHERE}\n[profile application]\naws_access_key_id = AKIDAPP\naws_secret_access_key = s"
    )
    application = session.with_profile("application")
    assert application.endpoint("home").origin == ELSEWHERE
    assert session.with_profile("application").client("s3").meta.endpoint_url == ELSEWHERE
