"""What every tenant bucket must look like, as data, and the difference to what a bucket is.

A BucketSpec holds one document for each setting, in the shape that S3's API takes (None: nothing is wanted there).
`differences` compares setting by setting after putting both sides into one normal form, because S3 answers lists in
another order and with members of its own. Tags and policy statements that are not ours are left alone; everything
else is exactly ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast

from rehouse.core.bucket import documents
from rehouse.core.bucket.documents import OURS, Document, LifecycleRules
from rehouse.core.bucket.normal_form import normal, statements

Dialect = Literal["aws", "ceph"]
State = Literal["set", "absent", "not_offered", "unreadable"]
Kind = Literal["differs", "missing", "not_offered", "unreadable"]


@dataclass(frozen=True, slots=True)
class BucketSpec:
    """One document for each setting, in the order in which they are safely applied; None where nothing is wanted."""

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

    def wanted(self) -> dict[str, Document]:
        """Return setting → document for every setting that is wanted, in the order of application."""
        pairs = ((setting, getattr(self, setting)) for setting in SETTINGS)
        return {setting: document for setting, document in pairs if document is not None}


SETTINGS: tuple[str, ...] = tuple(field.name for field in fields(BucketSpec) if field.name != "bucket")


LACKING: Mapping[Dialect, frozenset[str]] = {
    "aws": frozenset(),
    "ceph": frozenset({"ownership", "policy", "encryption", "logging", "metrics"}),
}
"""Settings that a bucket goes without. Ceph misreads conditions on encryption: our policy would refuse every upload there."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one setting was found to be; `code` is S3's where it is not offered or could not be read."""

    state: State
    value: Document | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """One setting that is not as it must be."""

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
    """Return what one tenant's bucket must be.

    `encryption` is AES256 or a KMS key, `key_arn` that key's ARN where it is known; `tls` is false on a plain-http endpoint,
    which a TLS-only policy would lock out.
    `request_metrics` are billed. A bucket never logs to itself; without an origin there is no CORS rule. `dialect` leaves out
    what another server than AWS lacks.
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
    return spoken(spec, dialect)


def spoken(spec: BucketSpec, dialect: Dialect) -> BucketSpec:
    """Return the spec without what a server of this dialect lacks or misreads."""
    without: dict[str, Any] = dict.fromkeys(LACKING[dialect])
    if dialect == "ceph" and spec.public_access_block:
        without["public_access_block"] = {**spec.public_access_block, "BlockPublicAcls": False}
    return replace(spec, **without)


def log_bucket_spec(
    bucket: str, *, sources: str, account: str | None, region: str, tls: bool, days: int = 365
) -> BucketSpec:
    """Return what the bucket of the access logs must look like; `sources` is the prefix of the buckets that log to it.

    `days`: how long a log is kept.

    Always SSE-S3 and no CORS, as S3's log delivery demands (the S3 User Guide, "Enabling Amazon S3 server access logging").
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


def differences(spec: BucketSpec, configuration: Mapping[str, Found]) -> tuple[Drift, ...]:
    """Return what is not as the spec says, setting by setting.

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
    for setting, expected in spec.wanted().items():
        found = configuration.get(setting, Found("unreadable"))
        if found.state == "set":
            if not matches(setting, expected, found.value):
                drifts.append(Drift(setting, expected, found.value, "differs"))
        else:
            kind = "missing" if found.state == "absent" else found.state
            drifts.append(Drift(setting, expected, None, cast("Kind", kind)))
    return tuple(drifts)


def matches(setting: str, expected: Document, found: Document) -> bool:
    """Return whether `found` is what is expected; foreign tags and policy statements do not count."""
    wanted, actual = normal(setting, expected), normal(setting, found)
    if setting == "tags":
        return all(actual.get(key) == value for key, value in wanted.items())
    if setting == "policy":
        return bool(
            wanted["Statement"] == {sid: body for sid, body in actual["Statement"].items() if sid.startswith(OURS)}
        )
    return bool(wanted == actual)


def merged(setting: str, expected: Document, found: Document | None) -> Document:
    """Return what to write: `expected`, with the foreign tags and policy statements that are there kept."""
    if not isinstance(found, Mapping):
        return expected
    if setting == "tags":
        return {**found, **expected}
    if setting == "policy":
        return {**expected, "Statement": [*foreign_statements(found), *expected["Statement"]]}
    return expected


def foreign_statements(policy: Document | None) -> list[Document]:
    """Return the statements of a bucket's policy that are not ours."""
    made = statements(policy) if isinstance(policy, Mapping) else []
    return [each for each in made if not str(each.get("Sid", "")).startswith(OURS)]


def has_ours(policy: Document | None) -> bool:
    """Return whether a bucket's policy has statements of ours."""
    return isinstance(policy, Mapping) and len(foreign_statements(policy)) < len(statements(policy))
