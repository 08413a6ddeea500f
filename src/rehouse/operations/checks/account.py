"""Checks of S3 itself: credentials, identity, clock, region, shared buckets, log bucket, bucket quota."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from rehouse.config import Settings
from rehouse.core.bucket.documents import partition
from rehouse.core.bucket.spec import differences
from rehouse.core.errors import RehouseError
from rehouse.core.escaping import count_noun
from rehouse.operations.buckets.home_spec import cors_origins, has_access_logs, log_bucket_name, log_spec
from rehouse.operations.buckets.log_bucket import LOG_RIGHTS_HINT, UNFIT_HINT, unfit_settings
from rehouse.operations.checks.check import (
    Check,
    Outcome,
    failure,
    no_answer,
    notice,
    of_error,
    ok,
    skip_dependents,
    try_check,
)
from rehouse.operations.shared_buckets import locate
from rehouse.s3.account import answer_headers, bucket_quota
from rehouse.s3.buckets.control import BucketPresence, Control
from rehouse.s3.buckets.region import way_out

CREDENTIALS = "S3: credentials"
IDENTITY = "S3: identity"
CLOCK = "S3: clock"
TRANSPORT = "S3: transport"
QUOTA = "S3: bucket quota"
LOG_BUCKET = "S3: log bucket"
ORIGINS = "S3: CORS origins"

REFUSED_SKEW_SECONDS = 900
"""S3 refuses a request if the clocks differ by more than this ("RequestTimeTooSkewed", S3 API Reference)."""

WORRYING_SKEW_SECONDS = 60
UNREACHABLE = frozenset({"Unreachable", "CertificateError", "ConnectionLost"})
QUOTA_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
"""The region that has a partition's bucket quota, for buckets in any region (S3 User Guide, "Quotas, restrictions")."""


def check_account(settings: Settings, control: Control) -> Iterator[Check]:
    """Yield the checks of credentials, identity, clock and transport."""
    credentials = try_check(CREDENTIALS, lambda: _credentials(control))
    yield credentials
    if credentials.outcome is not Outcome.OK:
        yield from skip_dependents((IDENTITY, CLOCK), "no credentials")
        return
    try:
        yield _identity(control)
    except RehouseError as error:
        yield of_error(IDENTITY, error)
        if getattr(error, "code", "") in UNREACHABLE:
            yield from skip_dependents((CLOCK,), "the endpoint cannot be reached")
            return
    yield try_check(CLOCK, lambda: _clock(settings, control))
    yield _transport(control)


def check_surroundings(settings: Settings, control: Control, *, new_buckets: int | None) -> Iterator[Check]:
    """Yield the checks of what the new buckets need: room, a log bucket, CORS origins."""
    yield try_check(QUOTA, lambda: _quota(control, new_buckets), denied=Outcome.COULD_NOT_CHECK)
    yield try_check(LOG_BUCKET, lambda: _log_bucket(settings, control))
    yield try_check(ORIGINS, lambda: _origins(settings, control))


def skew_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds the server's clock is ahead of ours, from the Date of its answer; None if it has none."""
    try:
        told: datetime = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return told.timestamp() - now


def _credentials(control: Control) -> Check:
    found = control.session.credentials()
    kind = "temporary" if found.token else "long-lived"
    return ok(CREDENTIALS, f"found, {kind}, access key {found.access_key[:4]}…")


def _identity(control: Control) -> Check:
    identity = control.identity()
    if identity.account is None:
        return notice(IDENTITY, "this endpoint has no STS: rehouse uses ListBuckets to find out who owns a bucket")
    if (identity.arn or "").endswith(":root"):
        return notice(
            IDENTITY,
            f"{identity.arn}",
            "use a role or user with the rights that `rehouse iam-policy` prints, not the root user",
        )
    return ok(IDENTITY, f"{identity.arn} in the account {identity.account}")


def _clock(settings: Settings, control: Control) -> Check:
    skew = skew_seconds(answer_headers(control, settings.require_shared_buckets()[0]), time.time())
    if skew is None:
        return no_answer(CLOCK, "the endpoint's answer has no time")
    told = f"{abs(skew):.0f} seconds {'behind' if skew > 0 else 'ahead of'} S3's"
    if abs(skew) > REFUSED_SKEW_SECONDS:
        return failure(CLOCK, told, "set this machine's clock: S3 accepts 15 minutes of difference")
    if abs(skew) > WORRYING_SKEW_SECONDS:
        return notice(CLOCK, told, "set this machine's clock; beyond 15 minutes S3 refuses every request")
    return ok(CLOCK, "it agrees with S3's clock")


def _transport(control: Control) -> Check:
    session = control.session
    if session.uses_tls:
        return ok(TRANSPORT, f"TLS to {session.url}, region {session.region}")
    return notice(TRANSPORT, f"plain http to {session.url}: the buckets get no TLS-only policy", "for tests only")


def _quota(control: Control, new_buckets: int | None) -> Check:
    count = sum(1 for _ in control.buckets())
    wanted = f", up to {new_buckets} more wanted" if new_buckets is not None else ""
    there = f"{count_noun(count, 'bucket')}{wanted}"
    if not control.session.is_aws:
        told = f"unknown (this endpoint has no Service Quotas API); {there}"
        return no_answer(QUOTA, told, "ask whoever runs the endpoint")
    place = partition(control.session.region)
    region = QUOTA_REGIONS.get(place)
    if region is None:
        told = f"unknown (rehouse does not know where the partition {place} has its quotas); {there}"
        return no_answer(QUOTA, told, "ask AWS Support for the quota of general purpose buckets")
    quota = bucket_quota(control.session, region)
    if quota is None:
        hint = "allow servicequotas:GetServiceQuota to have it checked; it is 10,000 unless it was raised"
        return no_answer(QUOTA, f"unknown (it could not be read); {there}", hint)
    if count + (new_buckets or 1) > quota:
        return failure(QUOTA, f"{count} of {quota} buckets{wanted}", "ask for a higher quota (Service Quotas, S3)")
    return ok(QUOTA, f"{count} of {quota} buckets{wanted}")


def _log_bucket(settings: Settings, control: Control) -> Check:
    if not has_access_logs(settings):
        return ok(LOG_BUCKET, "none: this kind of server has no access logs")
    name = log_bucket_name(settings, control)
    presence = control.head(name)
    if presence.whose == "absent" and name.startswith(f"{settings.bucket_prefix}-"):
        told = f"{name} does not exist, and begins with the tenants' prefix: no role may create it"
        return failure(LOG_BUCKET, told, "make it yourself, or set REHOUSE_LOG_BUCKET to a name outside the prefix")
    if wrong := presence_check(LOG_BUCKET, settings, name, presence):
        return wrong
    spec = log_spec(settings, control, present=True)
    if unfit := unfit_settings(control, spec):
        return failure(LOG_BUCKET, f"{name}: {'; '.join(each.reason for each in unfit)}", UNFIT_HINT)
    drifts = differences(spec, control.read(name, spec.documents()))
    if differing := [each.setting for each in drifts if each.kind != "not_offered"]:
        return notice(LOG_BUCKET, f"{name} differs from its specification: {', '.join(differing)}", LOG_RIGHTS_HINT)
    return ok(LOG_BUCKET, f"{name} exists, is ours and accepts logs")


def presence_check(subject: str, settings: Settings, name: str, presence: BucketPresence) -> Check | None:
    """Return what is wrong with a bucket's presence; None if it exists, is ours and is in our region."""
    if presence.whose == "absent":
        if subject == LOG_BUCKET:
            told = f"{name} does not exist yet: the first migration creates it, with the rights of the role log-bucket"
            return ok(subject, told)
        return failure(subject, f"{name} does not exist", "check REHOUSE_SHARED_BUCKET and AWS_ENDPOINT_URL_S3")
    if presence.whose == "somebody_else":
        return failure(subject, f"{name} belongs to another AWS account", "use credentials of the account that owns it")
    if presence.whose == "unknown":
        return no_answer(
            subject,
            f"the owner of {name} is unknown ({presence.code})",
            "s3:ListAllMyBuckets and s3:ListBucket are needed",
        )
    if presence.region not in {None, settings.region}:
        hint = way_out(name, str(presence.region), settings.region)
        return failure(subject, f"{name} is in {presence.region}, the shared bucket in {settings.region}", hint)
    return None


def _origins(settings: Settings, control: Control) -> Check:
    found = cors_origins(settings, control)
    where = "of the settings" if settings.cors_origins else "of the shared bucket"
    told = f"{', '.join(found.origins)} ({where})" if found.origins else "none"
    if not found.notes:
        return ok(ORIGINS, told)
    return notice(ORIGINS, "; ".join((told, *found.notes)), "REHOUSE_CORS_ORIGINS names them all exactly")


REGION = "S3: region"


def check_region(settings: Settings, control: Control) -> tuple[Check, Settings | None]:
    """Return the check, and the settings with the region; None if there is no usable region."""
    try:
        found, presences = locate(settings, control)
    except RehouseError as error:
        return of_error(REGION, error), None
    is_told = any(each.region for each in presences.values())
    return ok(REGION, f"{found.region}, from {'the shared bucket' if is_told else 'the settings'}"), found
