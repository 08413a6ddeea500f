"""Checks of the shared bucket: it exists, is ours and readable; and which of its features the tenants' buckets will not have.

They only read. Each feature of the bucket is reported with what happens to it in the new buckets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.removals import SUSPENDED
from rehouse.operations.checks.account import presence_check
from rehouse.operations.checks.check import (
    Check,
    Outcome,
    failure,
    no_answer,
    notice,
    ok,
    skip_dependents,
    try_check,
)
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import NOT_OFFERED, translate_errors

Reply = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Habit:
    """A feature of a bucket: how to read it, how to describe it, and what happens to it in the new buckets."""

    title: str
    get: str
    seen: Callable[[Reply], str]
    becomes: str
    absent_code: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)


def _versions(reply: Reply) -> str:
    if reply.get("Status") == "Suspended":
        return f"{SUSPENDED}. Enable it before finish"
    return str(reply.get("Status") or "off: objects that finish deletes cannot be restored")


def _notifications(reply: Reply) -> str:
    kinds = ("TopicConfigurations", "QueueConfigurations", "LambdaFunctionConfigurations", "EventBridgeConfiguration")
    return ", ".join(kind.removesuffix("Configurations") for kind in kinds if kind in reply)


def _grants(reply: Reply) -> str:
    owner = reply.get("Owner", {}).get("ID")
    others = [grant for grant in reply.get("Grants", []) if grant.get("Grantee", {}).get("ID") != owner]
    return f"{len(others)} grants to others" if others else ""


def _kms(reply: Reply) -> str:
    rules = reply.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    defaults = [rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules]
    return ", ".join(f"{d.get('SSEAlgorithm')} {d.get('KMSMasterKeyID', '')}" for d in defaults if "kms" in str(d))


def _policy(reply: Reply) -> str:
    try:
        statements = json.loads(reply.get("Policy", "")).get("Statement", [])
    except (ValueError, AttributeError):
        return "a policy"
    told = f"{len(statements) if isinstance(statements, list) else 1} statements"
    return told + (", one for CloudFront" if "cloudfront" in json.dumps(statements).lower() else "")


def _count(name: str, noun: str) -> Callable[[Reply], str]:
    return lambda reply: f"{len(reply[name])} {noun}" if reply.get(name) else ""


HABITS = (
    Habit(
        "versioning", "get_bucket_versioning", _versions,
        "the new buckets are versioned and start without history: older versions stay in the shared bucket",
    ),
    Habit(
        "notifications", "get_bucket_notification_configuration", _notifications,
        "NOT carried over: a virus scanner or indexer would not be notified of uploads to the new buckets. Set them up there",
    ),
    Habit(
        "replication", "get_bucket_replication", _count("ReplicationConfiguration", "parts"),
        "NOT carried over: set it up for the new buckets if a second region must have them",
        "ReplicationConfigurationNotFoundError",
    ),
    Habit(
        "policy", "get_bucket_policy", _policy,
        "NOT carried over: whoever reads the shared bucket by its policy (a CDN, another account) needs rights on the new ones",
        "NoSuchBucketPolicy",
    ),
    Habit(
        "CORS", "get_bucket_cors", _count("CORSRules", "rules"),
        "exact origins are carried over (an origin with * is not); methods and headers come from the specification",
        "NoSuchCORSConfiguration",
    ),
    Habit(
        "lifecycle", "get_bucket_lifecycle_configuration", _count("Rules", "rules"),
        "NOT carried over: the new buckets have the specification's rules. A rule that expires or archives documents works "
        "on the shared bucket meanwhile",
        "NoSuchLifecycleConfiguration",
    ),
    Habit(
        "Object Lock", "get_object_lock_configuration", lambda reply: str(reply.get("ObjectLockConfiguration") or ""),
        "NOT carried over: retention ends at the copy, and locked sources cannot be deleted by finish",
        "ObjectLockConfigurationNotFoundError",
    ),
    Habit("ACLs", "get_bucket_acl", _grants, "NOT carried over: the new buckets have ACLs switched off"),
    Habit(
        "KMS encryption", "get_bucket_encryption", _kms,
        "the new buckets use REHOUSE_ENCRYPTION; reading the shared bucket needs kms:Decrypt on that key: name it in "
        "REHOUSE_SOURCE_KMS_KEYS, and `rehouse iam-policy` grants it",
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    Habit(
        "inventory", "list_bucket_inventory_configurations", _count("InventoryConfigurationList", "inventories"),
        "NOT carried over",
    ),
    Habit(
        "access logging", "get_bucket_logging", lambda reply: reply.get("LoggingEnabled", {}).get("TargetBucket", ""),
        "the new buckets log to the log bucket of the settings",
    ),
    Habit(
        "website", "get_bucket_website", lambda reply: "a website" if set(reply) - {"ResponseMetadata"} else "",
        "NOT carried over: the new buckets are private", "NoSuchWebsiteConfiguration",
    ),
    Habit(
        "transfer acceleration", "get_bucket_accelerate_configuration", lambda reply: str(reply.get("Status", "")),
        "NOT carried over: switch it on for the new buckets if clients use the accelerated host name",
    ),
)  # fmt: skip


def check_shared_bucket(settings: Settings, control: Control, bucket: str) -> Iterator[Check]:
    """Yield the checks of one shared bucket."""
    subject = f"{bucket}: presence"
    presence = try_check(subject, lambda: _presence(subject, settings, control, bucket))
    yield presence
    titles = [f"{bucket}: name", f"{bucket}: listing", *(f"{bucket}: {habit.title}" for habit in HABITS)]
    if presence.outcome is Outcome.FAILED:
        yield from skip_dependents(titles, "the bucket cannot be used")
        return
    yield _name(f"{bucket}: name", settings, bucket)
    yield try_check(f"{bucket}: listing", lambda: _listing(f"{bucket}: listing", control, bucket))
    for habit in HABITS:
        yield _habit(control, bucket, habit)


def removed_bucket(bucket: str) -> Check:
    """Return the check of a shared bucket that `cleanup --drop-bucket` removed, so it is not reported as missing."""
    hint = f"remove {bucket} from REHOUSE_SHARED_BUCKET; a new tenant can upload after `rehouse migrate SLUG`"
    return notice(f"{bucket}: presence", "`rehouse cleanup --drop-bucket` removed it", hint)


def first_object(control: Control, bucket: str) -> str | None:
    """Return a key of the bucket, None if it is empty. Raises boto3's errors."""
    page = control.client.list_objects_v2(Bucket=bucket, MaxKeys=1, **control.owner())
    contents = page.get("Contents", [])
    return contents[0]["Key"] if contents else None


def _presence(subject: str, settings: Settings, control: Control, bucket: str) -> Check:
    presence = control.head(bucket)
    return presence_check(subject, settings, bucket, presence) or ok(subject, f"it is ours, in {settings.region}")


def _name(subject: str, settings: Settings, bucket: str) -> Check:
    if bucket.startswith(f"{settings.bucket_prefix}-"):
        hint = (
            "set REHOUSE_BUCKET_PREFIX to another prefix: rights on the tenants' buckets would cover the shared one too"
        )
        return failure(subject, f"it begins with the tenants' prefix {settings.bucket_prefix}-", hint)
    return ok(subject, "no tenant's bucket can have this name")


def _listing(subject: str, control: Control, bucket: str) -> Check:
    key = first_object(control, bucket)
    if key is None:
        return notice(subject, "the bucket is empty", "check that it is the right one")
    control.client.head_object(Bucket=bucket, Key=key, **control.owner())
    control.client.get_object_tagging(Bucket=bucket, Key=key, **control.owner())
    return ok(subject, "objects can be listed and read, with their tags")


def _habit(control: Control, bucket: str, habit: Habit) -> Check:
    subject = f"{bucket}: {habit.title}"

    def look() -> Check:
        try:
            with translate_errors(subject):
                reply = getattr(control.client, habit.get)(Bucket=bucket, **habit.arguments, **control.owner())
        except (StorageRefused, StorageUnavailable) as error:
            if error.code in NOT_OFFERED:
                return no_answer(subject, f"the endpoint does not offer it ({error.code})")
            if not habit.absent_code or error.code != habit.absent_code:
                raise
            return ok(subject, "none")
        seen = habit.seen(reply)
        return notice(subject, seen, habit.becomes) if seen else ok(subject, "none")

    return try_check(subject, look, denied=Outcome.COULD_NOT_CHECK)
