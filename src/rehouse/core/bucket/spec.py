"""What a tenant bucket must look like, as data, and how a bucket differs from it.

A BucketSpec holds one document for each setting, in the shape that S3's API takes (None: rehouse does not set it).
`differences` compares setting by setting in a normal form, because S3 returns lists in another order and adds members.
Foreign tags and foreign policy statements are ignored; everything else must match exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast

from rehouse.core.bucket import documents
from rehouse.core.bucket.documents import OURS, Document, LifecycleRules
from rehouse.core.bucket.normal_form import normalise, statements

Dialect = Literal["aws", "ceph"]
State = Literal["set", "absent", "not_offered", "unreadable"]
Kind = Literal["differs", "missing", "not_offered", "unreadable"]


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """One document per setting, in the order in which it is safe to apply them.

    None for a setting that is not wanted.
    """

    bucket: str
    public_access_block: Document | None = None
    ownership: Document | None = None
    policy: Document | None = None
    encryption: Document | None = None
    versioning: Document | None = None
    lifecycle: Document | None = None
    cors: Document | None = None
    logging: Document | None = None
    tags: Mapping[str, str] | None = None
    metrics: Document | None = None

    def documents(self) -> dict[str, Document]:
        """Return setting → document for every wanted setting, in the order of application."""
        pairs = ((setting, getattr(self, setting)) for setting in SETTINGS)
        return {setting: document for setting, document in pairs if document is not None}


SETTINGS: tuple[str, ...] = tuple(field.name for field in fields(BucketSpec) if field.name != "bucket")


LACKING: Mapping[Dialect, frozenset[str]] = {
    "aws": frozenset(),
    "ceph": frozenset({"ownership", "policy", "encryption", "logging", "metrics"}),
}
"""Settings that rehouse does not apply on a kind of server. Ceph misreads the encryption conditions of our policy and would
refuse every upload.
"""


@dataclass(frozen=True, slots=True)
class SettingState:
    """The state of one setting as found.

    `code` is S3's error code if it is not offered or unreadable.
    """

    state: State
    value: Document | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """One setting that differs from the specification."""

    setting: str
    expected: Document
    found: Document | None
    kind: Kind


def spec_for(
    bucket: str,
    *,
    tenant_id: object,
    tenant_slug: str,
    region: str,
    tls: bool,
    encryption: str = "AES256",
    key_arn: str | None = None,
    lifecycle: LifecycleRules | None = None,
    cors_origins: Iterable[str] = (),
    log_bucket: str | None = None,
    request_metrics: bool = False,
    dialect: Dialect = "aws",
) -> BucketSpec:
    """Return the specification of one tenant's bucket.

    `encryption` is AES256 or a KMS key, `key_arn` that key's ARN if known. `tls` is False for a plain-http endpoint, which a
    TLS-only policy would lock out. `request_metrics` are billed. A bucket never logs to itself. Without `cors_origins` there is
    no CORS rule. `dialect` leaves out the settings that a server other than AWS lacks.
    """
    origins = sorted(set(cors_origins))
    spec = BucketSpec(
        bucket,
        public_access_block=documents.public_access_block(),
        ownership=documents.ownership(),
        policy=documents.tenant_policy(bucket, region=region, tls=tls, encryption=encryption, key_arn=key_arn),
        encryption=documents.default_encryption(encryption),
        versioning={"Status": "Enabled"},
        lifecycle={"Rules": documents.lifecycle_rules(lifecycle or LifecycleRules())},
        cors={"CORSRules": [documents.cors_rule(origins)]} if origins else None,
        logging=documents.access_logging(bucket, log_bucket) if log_bucket and log_bucket != bucket else None,
        tags={"tenant-id": documents.tag_value(str(tenant_id)), "tenant-slug": documents.tag_value(tenant_slug)},
        metrics={"Id": documents.METRICS_ID} if request_metrics else None,
    )
    return restrict_to_dialect(spec, dialect)


def restrict_to_dialect(spec: BucketSpec, dialect: Dialect) -> BucketSpec:
    """Return the spec without the settings that a server of this dialect lacks or misreads."""
    without: dict[str, Any] = dict.fromkeys(LACKING[dialect])
    if dialect == "ceph" and spec.public_access_block:
        without["public_access_block"] = {**spec.public_access_block, "BlockPublicAcls": False}
    return replace(spec, **without)


def log_bucket_spec(
    bucket: str, *, sources: str, account: str | None, region: str, tls: bool, days: int = 365
) -> BucketSpec:
    """Return the specification of the bucket for access logs.

    `sources` is the prefix of the buckets that log to it, `days` how long a log is kept. The encryption is always SSE-S3, because
    log delivery requires it (the S3 User Guide, "Enabling Amazon S3 server access logging").
    """
    return BucketSpec(
        bucket,
        public_access_block=documents.public_access_block(),
        ownership=documents.ownership(),
        policy=documents.log_delivery_policy(bucket, sources=sources, account=account, region=region, tls=tls),
        encryption=documents.default_encryption("AES256"),
        lifecycle={"Rules": documents.log_lifecycle_rules(days)},
        tags=documents.LOG_TAGS,
    )


def differences(spec: BucketSpec, configuration: Mapping[str, SettingState]) -> tuple[Drift, ...]:
    """Return the settings that differ from the spec.

    | wanted | found       | drift       |
    |--------|-------------|-------------|
    | no     | anything    | none        |
    | yes    | absent      | missing     |
    | yes    | not offered | not_offered |
    | yes    | unreadable  | unreadable  |
    | yes    | equal       | none        |
    | yes    | other       | differs     |
    """
    drifts = []
    for setting, expected in spec.documents().items():
        found = configuration.get(setting, SettingState("unreadable"))
        if found.state == "set":
            if not matches(setting, expected, found.value):
                drifts.append(Drift(setting, expected, found.value, "differs"))
        else:
            kind = "missing" if found.state == "absent" else found.state
            drifts.append(Drift(setting, expected, None, cast("Kind", kind)))
    return tuple(drifts)


def matches(setting: str, expected: Document, found: Document) -> bool:
    """Return whether `found` matches `expected`.

    Foreign tags and policy statements are ignored.
    """
    wanted, actual = normalise(setting, expected), normalise(setting, found)
    if setting == "tags":
        return all(actual.get(key) == value for key, value in wanted.items())
    if setting == "policy":
        return bool(
            wanted["Statement"] == {sid: body for sid, body in actual["Statement"].items() if sid.startswith(OURS)}
        )
    return bool(wanted == actual)


def merge_documents(setting: str, expected: Document, found: Document | None) -> Document:
    """Return the document to write: `expected` plus the foreign tags and policy statements of `found`."""
    if not isinstance(found, Mapping):
        return expected
    if setting == "tags":
        return {**found, **expected}
    if setting == "policy":
        return {**expected, "Statement": [*foreign_statements(found), *expected["Statement"]]}
    return expected


def foreign_statements(policy: Document | None) -> list[Document]:
    """Return the statements of a bucket's policy that rehouse did not write."""
    made = statements(policy) if isinstance(policy, Mapping) else []
    return [each for each in made if not str(each.get("Sid", "")).startswith(OURS)]


def has_ours(policy: Document | None) -> bool:
    """Return whether a bucket's policy has statements that rehouse wrote."""
    return isinstance(policy, Mapping) and len(foreign_statements(policy)) < len(statements(policy))
