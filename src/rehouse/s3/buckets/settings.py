"""A table with one row per bucket setting: how to read it, how to write it, and how S3 says that it is not set.

Other and older servers answer a request that they do not know with a listing of the bucket. So a 200 without the setting's
own member means "not offered".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rehouse.core.bucket.documents import METRICS_ID, Document
from rehouse.core.bucket.spec import SettingState
from rehouse.s3.faults import DENIED, NOT_OFFERED

Reply = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """How to read and write one setting.

    boto3's two calls, the document in the reply, the arguments of the request, and the error code for "not set".
    """

    get: str
    put: str
    found: Callable[[Reply], SettingState]
    arguments: Callable[[Document], dict[str, Any]]
    absent_code: str = ""
    get_arguments: Mapping[str, Any] = field(default_factory=dict)


def classify_code(setting: Setting, code: str) -> SettingState | None:
    """Return the state that an error code means for a setting, or None if it says nothing about the setting."""
    if code == setting.absent_code:
        return SettingState("absent")
    if code in NOT_OFFERED:
        return SettingState("not_offered", code=code)
    return SettingState("unreadable", code=code) if code in DENIED else None


def _member_reader(name: str, marker: str) -> Callable[[Reply], SettingState]:
    """Return a reader of the reply's member `name`.

    The setting is offered only if the member holds `marker`.
    """

    def read_member(reply: Reply) -> SettingState:
        document = reply.get(name)
        if not isinstance(document, Mapping) or marker not in document:
            return SettingState("not_offered", code="OtherReply")
        return SettingState("set", dict(document))

    return read_member


def _optional_member_reader(name: str) -> Callable[[Reply], SettingState]:
    """Return a reader of the reply's member `name`.

    A 200 without it means that the setting is absent.
    """
    return lambda reply: SettingState("set", reply[name]) if reply.get(name) else SettingState("absent")


def _list_reader(name: str) -> Callable[[Reply], SettingState]:
    return lambda reply: (
        SettingState("set", {name: reply[name]}) if reply.get(name) else SettingState("not_offered", code="OtherReply")
    )


def _policy(reply: Reply) -> SettingState:
    try:
        document = json.loads(reply.get("Policy", ""))
    except ValueError:
        return SettingState("not_offered", code="OtherReply")
    return SettingState("set", document)


def _tags(reply: Reply) -> SettingState:
    if "TagSet" not in reply:
        return SettingState("not_offered", code="OtherReply")
    return SettingState("set", {tag["Key"]: tag["Value"] for tag in reply["TagSet"]})


def _versioning(reply: Reply) -> SettingState:
    return SettingState("set", {"Status": reply["Status"]}) if reply.get("Status") else SettingState("absent")


def tag_set(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in the shape of S3's API."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


CALLS: dict[str, Setting] = {
    "public_access_block": Setting(
        "get_public_access_block",
        "put_public_access_block",
        _member_reader("PublicAccessBlockConfiguration", "BlockPublicAcls"),
        lambda document: {"PublicAccessBlockConfiguration": document},
        "NoSuchPublicAccessBlockConfiguration",
    ),
    "ownership": Setting(
        "get_bucket_ownership_controls",
        "put_bucket_ownership_controls",
        _member_reader("OwnershipControls", "Rules"),
        lambda document: {"OwnershipControls": document},
        "OwnershipControlsNotFoundError",
    ),
    "policy": Setting(
        "get_bucket_policy",
        "put_bucket_policy",
        _policy,
        lambda document: {"Policy": json.dumps(document)},
        "NoSuchBucketPolicy",
    ),
    "encryption": Setting(
        "get_bucket_encryption",
        "put_bucket_encryption",
        _member_reader("ServerSideEncryptionConfiguration", "Rules"),
        lambda document: {"ServerSideEncryptionConfiguration": document},
        "ServerSideEncryptionConfigurationNotFoundError",
    ),
    "versioning": Setting(
        "get_bucket_versioning",
        "put_bucket_versioning",
        _versioning,
        lambda document: {"VersioningConfiguration": document},
    ),
    "lifecycle": Setting(
        "get_bucket_lifecycle_configuration",
        "put_bucket_lifecycle_configuration",
        _list_reader("Rules"),
        lambda document: {"LifecycleConfiguration": document},
        "NoSuchLifecycleConfiguration",
    ),
    "cors": Setting(
        "get_bucket_cors",
        "put_bucket_cors",
        _list_reader("CORSRules"),
        lambda document: {"CORSConfiguration": document},
        "NoSuchCORSConfiguration",
    ),
    "logging": Setting(
        "get_bucket_logging",
        "put_bucket_logging",
        _optional_member_reader("LoggingEnabled"),
        lambda document: {"BucketLoggingStatus": {"LoggingEnabled": document}},
    ),
    "tags": Setting(
        "get_bucket_tagging",
        "put_bucket_tagging",
        _tags,
        lambda document: {"Tagging": {"TagSet": tag_set(document)}},
        "NoSuchTagSet",
    ),
    "metrics": Setting(
        "get_bucket_metrics_configuration",
        "put_bucket_metrics_configuration",
        _member_reader("MetricsConfiguration", "Id"),
        lambda document: {"Id": METRICS_ID, "MetricsConfiguration": document},
        "NoSuchConfiguration",
        {"Id": METRICS_ID},
    ),
}
"""Setting → how to read and write it, for every setting of a BucketSpec."""
