"""The region of a run is the shared bucket's, read before anything is made."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import Reply, Request
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import ConfigurationError
from rehouse.core.lifecycle import Phase
from rehouse.operations.buckets.findings import FindingKind, presence_of
from rehouse.operations.doctor import Outcome, examine

ELSEWHERE = "eu-central-1"
_numbers = itertools.count(1)


@pytest.fixture
def abroad(room: Room) -> str:
    """The name of a shared bucket in another region than the usual one; the room's own settings name no region."""
    name = f"abroad-{next(_numbers)}"
    room.root.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
    room.shared = name
    room.settings = room.settings.model_copy(update={"shared_bucket": (name,), "region": ""})
    return name


@pytest.fixture
def redirecting(room: Room, abroad: str, strict: StrictRelay) -> Iterator[StrictRelay]:
    """S3 as it answers: a request for a bucket that was signed for another region is redirected."""
    before = strict.meanwhile

    def redirected(request: Request) -> Reply | None:
        scope = request.headers.get("authorization", "")
        if request.bucket == abroad and f"/{ELSEWHERE}/s3/" not in scope:
            return refusal(301, "PermanentRedirect", ("x-amz-bucket-region", ELSEWHERE))(request)
        return before(request)

    strict.meanwhile = redirected
    yield strict
    # the server takes the request for metrics for a creation in a wrong region: then botocore itself asks where the bucket is
    strict.unowned[:] = [each for each in strict.unowned if not each.startswith("HEAD bucket")]


def region_of(room: Room, bucket: str) -> str:
    return room.root.head_bucket(Bucket=bucket)["BucketRegion"]


def test_the_default_region_is_the_shared_buckets(room: Room, redirecting: StrictRelay) -> None:
    room.documents("a")
    assert room.migrate().phase is Phase.CUT_OVER
    assert region_of(room, room.home()) == ELSEWHERE
    made = [each for each in redirecting.seen if each.operation == "PUT bucket"]
    assert len(made) == 2  # the home and the log bucket
    assert all(ELSEWHERE.encode() in each.body for each in made)


def test_another_region_is_refused_with_the_right_one(room: Room, redirecting: StrictRelay) -> None:
    origins = {"region": "AWS_REGION"}
    room.settings = room.settings.model_copy(update={"region": "us-east-1", "origins": origins})
    with pytest.raises(
        ConfigurationError, match=f"AWS_REGION is us-east-1.*{room.shared} is in {ELSEWHERE}"
    ) as refused:
        room.migrate()
    assert f"set AWS_REGION={ELSEWHERE}" in refused.value.hint
    assert {each.method for each in redirecting.seen if each.operation != "sts"} == {"HEAD"}
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)]


def test_the_hint_has_the_form_in_which_the_region_was_set(room: Room, abroad: str) -> None:
    origins = {"region": "/etc/rehouse.toml"}
    room.settings = room.settings.model_copy(update={"region": "us-east-1", "origins": origins})
    with pytest.raises(ConfigurationError, match=r"region in /etc/rehouse\.toml is us-east-1") as refused:
        room.verify()
    assert f'set region = "{ELSEWHERE}" in /etc/rehouse.toml' in refused.value.hint


def test_shared_buckets_in_several_regions_are_refused(room: Room, bucket: str, abroad: str) -> None:
    room.settings = room.settings.model_copy(update={"shared_bucket": (bucket, abroad)})
    with pytest.raises(ConfigurationError, match=f"{bucket} in us-east-1, {abroad} in {ELSEWHERE}"):
        room.migrate()


def test_a_home_in_a_wrong_region_is_named_with_the_way_out(room: Room, abroad: str) -> None:
    room.documents("a")
    room.migrate(until=Phase.PLANNED)
    home = room.home()
    room.root.create_bucket(Bucket=home)  # as version 0.1 did: in us-east-1, whatever the profile said
    report = None
    with room.services() as services:
        finding = presence_of(services, home, "acme")
        assert finding is not None
        assert finding.kind is FindingKind.OTHER_REGION
        assert f"delete-bucket --bucket {home} --region us-east-1" in finding.hint
    with pytest.raises(Exception, match=f"{home} is in us-east-1, the shared bucket in {ELSEWHERE}") as refused:
        report = room.migrate()
    assert report is None
    assert f"delete-bucket --bucket {home} --region us-east-1" in refused.value.hint  # type: ignore[attr-defined]
    room.root.delete_bucket(Bucket=home)
    assert room.migrate().phase is Phase.CUT_OVER
    assert region_of(room, home) == ELSEWHERE


def test_doctor_tells_the_region_and_a_contradiction(room: Room, abroad: str) -> None:
    checks = {each.subject: each for each in examine(room.settings)}
    assert checks["S3: region"].outcome is Outcome.OK
    assert ELSEWHERE in checks["S3: region"].message
    assert checks[f"{abroad}: presence"].outcome is Outcome.OK
    wrong = room.settings.model_copy(update={"region": "us-east-1"})
    failed = {each.subject: each for each in examine(wrong)}["S3: region"]
    assert failed.outcome is Outcome.FAILED
    assert f"={ELSEWHERE}" in str(failed.hint)


def test_a_profiles_region_does_not_win_over_the_shared_buckets(
    room: Room, abroad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-southeast-2")  # what botocore itself reads
    room.documents("a")
    assert room.migrate().phase is Phase.CUT_OVER
    assert region_of(room, room.home()) == ELSEWHERE
