"""The BucketSpec of a tenant's home bucket, from the settings, the shared bucket's CORS rules and the log bucket.

This module changes nothing. If something cannot be carried over, such as an origin with a `*`, it returns a note.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from rehouse.config import Settings
from rehouse.core import naming
from rehouse.core.bucket.documents import LOG_TAGS, LifecycleRules, closed_policy, is_closed
from rehouse.core.bucket.spec import LACKING, BucketSpec, Drift, differences, log_bucket_spec, spec_for
from rehouse.core.errors import ConfigurationError
from rehouse.core.model import Tenant
from rehouse.core.origins import check_origin
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import ACCESS_DENIED, refused_error
from rehouse.s3.kms_keys import key_arn


class Origins(NamedTuple):
    """The origins that browsers may upload from, notes on them, and the buckets whose CORS rules may not be read."""

    origins: tuple[str, ...]
    notes: tuple[str, ...]
    unread: tuple[str, ...] = ()


def home_spec(
    settings: Settings, control: Control, tenant: Tenant, bucket: str, *, may_be_closed: bool = False
) -> BucketSpec:
    """Return the specification of the tenant's bucket. A bucket that was closed for its removal stays closed if it may be."""
    days = settings.lifecycle
    spec = spec_for(
        bucket,
        tenant_id=tenant.id,
        tenant_slug=tenant.label,
        region=settings.region,
        tls=control.session.uses_tls,
        encryption=settings.encryption,
        key_arn=key_arn(control, settings.encryption),
        lifecycle=LifecycleRules(
            noncurrent_days=days.noncurrent_days,
            infrequent_access_days=days.infrequent_access_days,
            temporary_days=days.temporary_days,
            incomplete_upload_days=days.incomplete_upload_days,
        ),
        cors_origins=cors_origins(settings, control).origins,
        log_bucket=log_bucket_name(settings, control),
        request_metrics=settings.request_metrics,
        dialect=settings.s3_dialect,
    )
    if may_be_closed and is_closed_to_writers(settings, control, bucket):
        return replace(spec, policy=closed_policy(spec.policy, bucket, settings.region))
    return spec


def key_notes(settings: Settings, control: Control) -> tuple[str, ...]:
    """Return a note if the policy cannot deny another KMS key, because the alias cannot be resolved to a key."""
    if settings.encryption == "AES256" or key_arn(control, settings.encryption):
        return ()
    return (f"this server cannot resolve {settings.encryption} to a key: uploads under another KMS key are not denied",)


def is_closed_to_writers(settings: Settings, control: Control, bucket: str) -> bool:
    """Return whether the bucket's policy denies every upload, as it is closed before its removal."""
    found = control.read_setting(bucket, "policy")
    return found.state == "set" and is_closed(found.value, bucket, settings.region)


def drift(settings: Settings, control: Control, tenant: Tenant, bucket: str) -> tuple[Drift, ...]:
    """Return how the tenant's bucket differs from its specification; reads only. Raises StorageRefused without a bucket."""
    spec = home_spec(settings, control, tenant, bucket)
    return differences(spec, control.read(bucket, spec.documents()))


def cors_origins(settings: Settings, control: Control) -> Origins:
    """Return the origins of the settings, else those of the shared buckets' CORS rules, read once a run."""
    if settings.cors_origins:
        return Origins(settings.cors_origins, ())
    return control.once(_inherit_origins, *settings.remaining_buckets)


def log_bucket_name(settings: Settings, control: Control) -> str:
    """Return the name of the bucket for access logs: the setting, else `logs-{prefix}-{account}`."""
    if settings.log_bucket:
        if settings.log_bucket in settings.shared_bucket:
            raise ConfigurationError(
                f"REHOUSE_LOG_BUCKET is the shared bucket {settings.log_bucket}",
                hint="give access logs a bucket of their own: rehouse never writes to a shared bucket",
                subject="log_bucket",
            )
        return settings.log_bucket
    account = control.identity().account
    is_regional = account and settings.bucket_namespace == "account-regional"
    return naming.log_bucket_name(
        settings.bucket_prefix, account, f"-{account}-{settings.region}-an" if is_regional else ""
    )


def log_spec(settings: Settings, control: Control, *, present: bool) -> BucketSpec:
    """Return the specification of the bucket for access logs. In a bucket that others use too, only the policy is ours."""
    name, account = log_bucket_name(settings, control), control.identity().account
    sources = "" if account else f"{settings.bucket_prefix}-"
    days, tls = settings.lifecycle.log_days, control.session.uses_tls
    spec = log_bucket_spec(name, sources=sources, account=account, region=settings.region, tls=tls, days=days)
    if present and settings.log_bucket and not _is_our_log_bucket(control, name):
        # The bucket holds more than our logs: only allow the delivery of logs.
        return BucketSpec(name, policy=spec.policy)
    return spec


def has_access_logs(settings: Settings) -> bool:
    """Return whether the endpoint logs requests, so that a bucket for the logs is needed."""
    return "logging" not in LACKING[settings.s3_dialect]


def _is_our_log_bucket(control: Control, name: str) -> bool:
    found = control.read_setting(name, "tags")
    if found.state == "unreadable":
        raise refused_error(
            found.code or ACCESS_DENIED, "its owner is unknown: its tags may not be read", f"the bucket {name}"
        )
    tags = found.value or {}
    return all(tags.get(key) == value for key, value in LOG_TAGS.items())


def _inherit_origins(control: Control, *shared_buckets: str) -> Origins:
    exact: set[str] = set()
    notes = []
    unread = []
    for shared in shared_buckets:
        found = control.read_setting(shared, "cors")
        if found.state in {"unreadable", "not_offered"}:
            notes.append(f"the CORS rules of {shared} could not be read ({found.code})")
            unread += [shared] * (found.state == "unreadable")
        rules = found.value["CORSRules"] if found.value else []
        origins = {origin for rule in rules for origin in rule.get("AllowedOrigins", [])}
        for origin in sorted(origins):
            try:
                exact.add(check_origin(origin))
            except ValueError as error:
                notes.append(f"an origin of {shared} is not carried over: {error}")
    if not exact:
        notes.append("no CORS rule: set REHOUSE_CORS_ORIGINS if browsers upload directly")
    return Origins(tuple(sorted(exact)), tuple(notes), tuple(unread))
