"""Findings about a bucket: it is missing or not ours, a setting differs, or no tenant has it.

This module changes nothing; `audit` decides what to do about a finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from rehouse.core.bucket.documents import LOG_TAGS, METRICS_ID, Document
from rehouse.core.bucket.drift_text import deletes_documents, explain_drift, reason_of
from rehouse.core.bucket.spec import BucketSpec, Drift, differences
from rehouse.core.errors import RehouseError
from rehouse.core.model import TenantId
from rehouse.core.permissions.policies import PROBE_NAME
from rehouse.operations.buckets.log_bucket import UNFIT_HINT, unfit_settings
from rehouse.operations.services import Services
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.region import way_out

FIX_HINT = "`rehouse audit --fix` corrects it"
RIGHTS_HINT = "`rehouse iam-policy --role provision` prints the rights"


class FindingKind(StrEnum):
    """The kind of a finding."""

    SETTING = "setting"
    NO_BUCKET = "no bucket"
    MISSING_BUCKET = "missing bucket"
    FOREIGN_BUCKET = "foreign bucket"
    OTHER_REGION = "other region"
    SHARED_HOME = "shared home"
    CONTRADICTION = "contradiction"
    UNOWNED_BUCKET = "unowned bucket"
    COULD_NOT_CHECK = "could not check"
    COULD_NOT_FIX = "could not fix"


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One problem. `differences` describe it line by line; `expected` and `found` are S3's documents of a setting."""

    kind: FindingKind
    message: str
    hint: str
    tenant: str | None = None
    bucket: str | None = None
    setting: str | None = None
    differences: tuple[str, ...] = ()
    why: str | None = None
    expected: Document | None = None
    found: Document | None = None
    can_be_fixed: bool = False
    is_fixed: bool = False
    tenant_id: TenantId | None = None


@dataclass(frozen=True, slots=True)
class BucketFindings:
    """The result for one bucket: its findings, the settings that the endpoint does not offer, whether it exists and is ours."""

    findings: tuple[AuditFinding, ...] = ()
    not_offered: tuple[str, ...] = ()
    is_there: bool = False


def presence_of(services: Services, bucket: str, slug: str | None) -> AuditFinding | None:
    """Return a finding if a bucket is missing, belongs to another account or is in another region; else None."""
    presence, region = services.control.head(bucket), services.settings.region
    kind, detail, hint = {
        "absent": (
            FindingKind.MISSING_BUCKET,
            f"{bucket} does not exist",
            "find out who deleted it; `audit` creates no bucket",
        ),
        "somebody_else": (FindingKind.FOREIGN_BUCKET, f"{bucket} belongs to another account", "do not write to it"),
        "unknown": (
            FindingKind.COULD_NOT_CHECK,
            f"the owner of {bucket} could not be read ({presence.code})",
            "s3:ListAllMyBuckets and s3:ListBucket are needed",
        ),
        "ours": (
            FindingKind.OTHER_REGION,
            f"{bucket} is in {presence.region}, not in {region}",
            way_out(bucket, str(presence.region), region),
        ),
    }[presence.whose]
    if presence.whose == "ours" and presence.region in {None, region}:
        return None
    return AuditFinding(kind, detail, hint, slug, bucket)


def settings_of(services: Services, spec: BucketSpec, slug: str | None) -> BucketFindings:
    """Return the drift of an existing bucket, the worst first. Raises StorageRefused if it cannot be read."""
    drifts = differences(spec, services.control.read(spec.bucket, spec.documents()))
    worst_first = sorted(drifts, key=deletes_documents, reverse=True)
    findings = tuple(_of_drift(each, spec.bucket, slug) for each in worst_first if each.kind != "not_offered")
    return BucketFindings(findings, tuple(each.setting for each in drifts if each.kind == "not_offered"), is_there=True)


def _of_drift(drift: Drift, bucket: str, slug: str | None) -> AuditFinding:
    is_readable = drift.kind != "unreadable"
    return AuditFinding(
        FindingKind.SETTING if is_readable else FindingKind.COULD_NOT_CHECK,
        f"{drift.setting} {'is missing' if drift.kind == 'missing' else drift.kind}",
        FIX_HINT if is_readable else RIGHTS_HINT,
        slug,
        bucket,
        drift.setting,
        explain_drift(drift),
        reason_of(drift),
        drift.expected,
        drift.found,
        can_be_fixed=is_readable,
    )


def unfit_logs(services: Services, spec: BucketSpec) -> list[AuditFinding]:
    """Return a finding for each setting of the log bucket that keeps S3 from delivering logs and that rehouse does not correct."""
    return [
        AuditFinding(FindingKind.SETTING, each.reason, UNFIT_HINT, bucket=spec.bucket, setting=each.setting)
        for each in unfit_settings(services.control, spec)
    ]


def unwanted_metrics(services: Services, spec: BucketSpec, slug: str | None) -> list[AuditFinding]:
    """Return a finding if the bucket's request metrics are on, under rehouse's id, although the setting is off."""
    if spec.metrics or services.settings.s3_dialect != "aws":
        return []
    found = services.control.read_setting(spec.bucket, "metrics")
    if found.state == "unreadable":
        detail = f"the metrics of {spec.bucket} may not be read ({found.code})"
        return [AuditFinding(FindingKind.COULD_NOT_CHECK, detail, RIGHTS_HINT, slug, spec.bucket, "metrics")]
    if found.state != "set":
        return []
    detail = f"request metrics ({METRICS_ID}) are on and billed, and request_metrics is off"
    hint = f"{FIX_HINT}; REHOUSE_REQUEST_METRICS=true keeps them"
    return [AuditFinding(FindingKind.SETTING, detail, hint, slug, spec.bucket, "metrics", can_be_fixed=True)]


def unseen_origins(shared_buckets: Iterable[str]) -> list[AuditFinding]:
    """Return a finding for each shared bucket whose CORS rules, which the tenants' buckets copy, could not be read."""
    hint = f"{RIGHTS_HINT}; or name the origins in REHOUSE_CORS_ORIGINS"
    return [
        AuditFinding(
            FindingKind.COULD_NOT_CHECK,
            f"the CORS rules of {each} may not be read, so rehouse does not know which rules the tenants' buckets must have",
            hint,
            bucket=each,
            setting="cors",
        )
        for each in shared_buckets
    ]


def unread_bucket(error: RehouseError, slug: str | None, bucket: str | None) -> AuditFinding:
    """Return an error as a finding, because an unread bucket is not known to be right."""
    return AuditFinding(FindingKind.COULD_NOT_CHECK, error.message, error.hint, slug, bucket)


def unowned_bucket(control: Control, prefix: str, bucket: str) -> AuditFinding | str:
    """Return a finding about a bucket with our prefix that no tenant has, or a note if it lacks our tags."""
    found = control.read_setting(bucket, "tags")
    if found.state == "unreadable":
        detail = f"the tags of {bucket}, which has our prefix and no tenant, may not be read ({found.code})"
        return AuditFinding(FindingKind.COULD_NOT_CHECK, detail, RIGHTS_HINT, bucket=bucket, setting="tags")
    tags = found.value or {}
    hint = "check what is in it; rehouse never deletes it"
    if bucket.startswith(f"{prefix}-{PROBE_NAME}-"):
        detail, hint = f"{bucket} is a scratch bucket of `rehouse doctor --probe`", "empty and remove it"
    elif "tenant-id" in tags:
        whose = f"{tags.get('tenant-slug', '?')} (id {tags['tenant-id']})"
        detail = f"{bucket} was made for the tenant {whose}, and no tenant has it"
        hint = "if the database was restored from a dump, `rehouse doctor` prints the statement that names it"
    elif all(tags.get(key) == value for key, value in LOG_TAGS.items()):
        detail = f"{bucket} was made for access logs, and no tenant's bucket logs to it by these settings"
    else:
        return f"{bucket} has our prefix but not our tags, so rehouse does not know to whom it belongs"
    return AuditFinding(FindingKind.UNOWNED_BUCKET, detail, hint, bucket=bucket)
