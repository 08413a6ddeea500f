"""The control plane on a real server, and on a scripted one for what no real one here does."""

from __future__ import annotations

import itertools

import boto3
import pytest
from tests.support.s3_stub import Scripted, Seen, error, serving

from rehouse.config import Settings
from rehouse.core.errors import RehouseError, StorageRefused
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.settings import CALLS, classify_code
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server

ACCOUNT = "000000000000"
IDENTITY = (
    f"<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><GetCallerIdentityResult><Arn>arn:aws:iam::{ACCOUNT}:user/u"
    f"</Arn><UserId>U</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
).encode()
_numbers = itertools.count(1)


@pytest.fixture
def control(storage_settings: Settings) -> Control:
    """A control plane over the real server."""
    return Control(Session(storage_settings), sleep=lambda seconds: None)


@pytest.fixture
def new_name() -> str:
    """A bucket name that nobody has."""
    return f"control-{next(_numbers)}"


def stubbed(url: str, **changed: object) -> Control:
    return Control(Session(Settings(endpoint_url=url, **changed)), sleep=lambda seconds: None)  # type: ignore[arg-type]


def test_the_identity_is_asked_once(control: Control) -> None:
    assert control.identity().account == ACCOUNT
    assert control.identity() is control.identity()


def test_presence_is_told_apart(control: Control, bucket: str, new_name: str, s3_server: S3Server) -> None:
    stranger = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        region_name=s3_server.region,
        aws_access_key_id="222222222222",
        aws_secret_access_key=s3_server._secret,
    )
    stranger.create_bucket(Bucket=f"{new_name}-stranger")
    whose = [control.head(name).whose for name in (bucket, f"{new_name}-stranger", f"{new_name}-nowhere")]
    assert whose == ["ours", "somebody_else", "absent"]
    assert control.head(bucket).region == "us-east-1"


def test_our_own_bucket_is_ours_without_the_right_to_list_it(
    storage_settings: Settings, s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names_only = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
    for name, statements, expected in (("names", [names_only], "ours"), ("nothing", [], "unknown")):
        policies = {"p": {"Version": "2012-10-17", "Statement": statements}} if statements else {}
        access_key, secret_key = s3_server.user(f"{bucket}-{name}", policies)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
        assert Control(Session(storage_settings)).head(bucket).whose == expected


def test_a_bucket_is_created_once_and_tagged(control: Control, new_name: str) -> None:
    assert control.create(new_name, tags={"tenant-id": "1"})
    assert control.read_setting(new_name, "tags").value == {"tenant-id": "1"}
    control.create(new_name)
    assert control.head(new_name).whose == "ours"


def test_creating_our_own_bucket_again_is_fine(storage_settings: Settings, new_name: str) -> None:
    control = Control(Session(storage_settings.model_copy(update={"region": "eu-central-1"})))
    assert control.create(new_name, tags={"a": "b"})
    assert not control.create(new_name, tags={"a": "b"})
    assert control.head(new_name).region == "eu-central-1"


def test_somebody_elses_name_is_refused(control: Control, new_name: str, s3_server: S3Server) -> None:
    boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        region_name=s3_server.region,
        aws_access_key_id="222222222222",
        aws_secret_access_key=s3_server._secret,
    ).create_bucket(Bucket=new_name)
    with pytest.raises(StorageRefused, match=new_name) as refusal:
        control.create(new_name)
    assert refusal.value.code == "BucketAlreadyExists"


def test_every_setting_of_a_plain_bucket_can_be_read(control: Control, bucket: str) -> None:
    states = {setting: found.state for setting, found in control.read(bucket).items()}
    assert set(states) == set(CALLS)
    assert states["metrics"] == "not_offered"
    assert set(states.values()) <= {"set", "absent", "not_offered"}


def test_reading_the_settings_of_no_bucket_is_refused(control: Control, new_name: str) -> None:
    with pytest.raises(StorageRefused, match=new_name):
        control.read(new_name)


def test_requests_are_counted_by_operation(control: Control, bucket: str) -> None:
    control.head(bucket)
    control.read_setting(bucket, "cors")
    assert control.requests == {"HeadBucket": 1, "GetBucketCors": 1}


@pytest.mark.parametrize("code", ["InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_wrong_credentials_are_refused_without_being_shown(code: str, stub_keys: None) -> None:
    with (
        serving(lambda seen: Scripted(403, b"<ErrorResponse>" + error(code) + b"</ErrorResponse>")) as stub,
        pytest.raises(StorageRefused) as refusal,
    ):
        stubbed(stub.url).identity()
    assert refusal.value.code == code
    assert "secret-of-the-stub" not in f"{refusal.value} {refusal.value.hint}"


def test_without_sts_ours_is_what_the_list_of_buckets_shows(stub_keys: None) -> None:
    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(405, error("MethodNotAllowed"))
        if seen.method == "HEAD":
            return Scripted(200, b"")
        names = b"<Bucket><Name>mine</Name></Bucket>"
        return Scripted(200, b"<ListAllMyBucketsResult><Buckets>" + names + b"</Buckets></ListAllMyBucketsResult>")

    with serving(answer) as stub:
        control = stubbed(stub.url)
        assert control.identity().account is None
        assert [control.head(name).whose for name in ("mine", "mine-too")] == ["ours", "somebody_else"]


def test_every_request_names_the_owner_that_is_expected(stub_keys: None) -> None:
    with serving(lambda seen: Scripted(200, IDENTITY if seen.method == "POST" else b"")) as stub:
        control = stubbed(stub.url)
        control.head("mine")
        control.apply("mine", "versioning", {"Status": "Enabled"})
        control.read_setting("mine", "versioning")
        owners = [seen.headers.get("x-amz-expected-bucket-owner") for seen in stub.seen if seen.method != "POST"]
    assert owners == [ACCOUNT] * 3


@pytest.mark.parametrize("code", ["NoSuchBucket", "OperationAborted"])
def test_a_bucket_too_new_for_its_configuration_is_asked_again(code: str, stub_keys: None) -> None:
    refusals = iter([True, True])

    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(200, IDENTITY)
        if "versioning" in seen.path and next(refusals, False):
            return Scripted(404 if code == "NoSuchBucket" else 409, error(code))
        return Scripted(200, b"")

    with serving(answer) as stub:
        control = stubbed(stub.url)
        control.create("mine")
        assert control.apply("mine", "versioning", {"Status": "Enabled"})
        assert len([seen for seen in stub.seen if "versioning" in seen.path]) == 3


def test_a_missing_bucket_that_is_not_new_is_not_waited_for(stub_keys: None) -> None:
    def answer(seen: Seen) -> Scripted:
        return Scripted(200, IDENTITY) if seen.method == "POST" else Scripted(404, error("NoSuchBucket"))

    with serving(answer) as stub:
        with pytest.raises(StorageRefused):
            stubbed(stub.url).apply("gone", "versioning", {"Status": "Enabled"})
        assert len([seen for seen in stub.seen if seen.method == "PUT"]) == 1


def test_what_an_endpoint_does_not_offer_is_no_error(stub_keys: None) -> None:
    def answer(seen: Seen) -> Scripted:
        return Scripted(200, IDENTITY) if seen.method == "POST" else Scripted(501, error("NotImplemented"))

    with serving(answer) as stub:
        control = stubbed(stub.url)
        assert not control.apply("mine", "ownership", {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
        assert control.read_setting("mine", "ownership").state == "not_offered"


def test_a_listing_in_the_place_of_a_setting_means_not_offered(stub_keys: None) -> None:
    page = b"<ListBucketResult><Name>mine</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
    with serving(lambda seen: Scripted(200, IDENTITY if seen.method == "POST" else page)) as stub:
        found = stubbed(stub.url).read("mine")
    never_set = {"versioning": "absent", "logging": "absent"}  # S3 itself says "none" of these with an empty 200
    assert {name: each.state for name, each in found.items()} == dict.fromkeys(found, "not_offered") | never_set


def test_a_missing_right_is_told_apart_from_a_missing_setting(stub_keys: None) -> None:
    def answer(seen: Seen) -> Scripted:
        return Scripted(200, IDENTITY) if seen.method == "POST" else Scripted(403, error("AccessDenied"))

    with serving(answer) as stub:
        control = stubbed(stub.url)
        assert {each.state for each in control.read("mine").values()} == {"unreadable"}
        with pytest.raises(StorageRefused, match="mine, cors"):
            control.apply("mine", "cors", {"CORSRules": []})


def test_tags_not_offered_at_creation_come_later(stub_keys: None) -> None:
    seen_bodies = []

    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(200, IDENTITY)
        seen_bodies.append(int(seen.headers.get("content-length", "0")))
        return Scripted(400, error("MalformedXML")) if len(seen_bodies) == 1 else Scripted(200, b"")

    with serving(answer) as stub:
        assert not stubbed(stub.url).create("mine", tags={"tenant-id": "1"})
    assert len(seen_bodies) == 2


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        ("mine-000000000000-us-east-1-an", "account-regional"),
        ("mine-logs-000000000000", None),
        ("mine", None),
        ("mine-000000000000-eu-west-1-an", None),
        ("mine-111111111111-us-east-1-an", None),
    ],
)
@pytest.mark.parametrize("setting", ["global", "account-regional"])
def test_the_account_regional_namespace_goes_by_the_names(
    name: str, namespace: str | None, setting: str, stub_keys: None
) -> None:
    with serving(lambda seen: Scripted(200, IDENTITY if seen.method == "POST" else b"")) as stub:
        stubbed(stub.url, bucket_namespace=setting).create(name)
        (put,) = [seen for seen in stub.seen if seen.method == "PUT"]
    assert put.headers.get("x-amz-bucket-namespace") == namespace


@pytest.mark.parametrize("setting", CALLS)
def test_an_unknown_code_says_nothing_of_a_setting(setting: str) -> None:
    assert classify_code(CALLS[setting], "SlowDown") is None
    assert classify_code(CALLS[setting], "") in (None, classify_code(CALLS[setting], CALLS[setting].absent_code))


def test_what_was_made_once_is_kept_and_a_failure_is_not(control: Control) -> None:
    asked: list[tuple[str, int]] = []

    def ask(given: Control, bucket: str = "", *, number: int) -> int:
        assert given is control
        asked.append((bucket, number))
        if number == 0:
            raise StorageRefused("no", hint="again", code="X")
        return number

    with pytest.raises(RehouseError):
        control.once(ask, number=0)
    assert [control.once(ask, number=1), control.once(ask, number=2), control.once(ask, "b", number=3)] == [1, 1, 3]
    assert asked == [("", 0), ("", 1), ("b", 3)]


@pytest.fixture
def stub_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that only a scripted server takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")
