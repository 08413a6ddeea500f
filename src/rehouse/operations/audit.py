"""Audit: check that every tenant has a bucket, that it matches its specification, and that each of our buckets has a tenant.

Without `fix` it only reads. With `fix` it corrects settings as `provision` does, the protections first. It never creates or
removes a tenant's bucket. A bucket or setting that cannot be read is a finding, never a success.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from rehouse.core.bucket.documents import METRICS_ID
from rehouse.core.errors import RehouseError, StorageRefused, StorageUnavailable, TryAgain
from rehouse.core.model import Tenant
from rehouse.operations.buckets.findings import (
    FIX_HINT,
    AuditFinding,
    BucketFindings,
    FindingKind,
    presence_of,
    settings_of,
    unfit_logs,
    unowned_bucket,
    unread_bucket,
    unseen_origins,
    unwanted_metrics,
)
from rehouse.operations.buckets.home_spec import cors_origins, has_access_logs, home_spec, log_bucket_name, log_spec
from rehouse.operations.buckets.homes import Holding, holdings, list_unowned
from rehouse.operations.services import Services
from rehouse.operations.steps.provision import provision_log_bucket, repair_home
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import translate_errors

AT_ONCE = 8
"""How many buckets are checked in parallel; each takes about a dozen requests, one after the other."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The findings. `tenants_checked` and `buckets_checked` count what was checked; `notes` are not faults."""

    tenants_checked: int = 0
    buckets_checked: int = 0
    findings: list[AuditFinding] = field(default_factory=list)
    not_offered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether there are no findings, or all of them are corrected."""
        return all(each.is_fixed for each in self.findings)


def audit(services: Services, tenant: Tenant | None = None, *, fix: bool = False) -> AuditReport:
    """Check the buckets of all tenants, or of one, and return the findings; with `fix`, correct what can be corrected.

    Raises TryAgain if S3 or the database cannot be reached, ConfigurationError for settings that are not valid.
    """
    everybody = holdings(services, services.ledger.tenants())
    held = [each for each in everybody if tenant is None or each.tenant.id == tenant.id]
    log_bucket_name(services.settings, services.control)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        looks = list(pool.map(lambda each: _look(services, each), held))
    homes = sum(each.is_there for each in looks)
    logs = _look_at_logs(services, is_wanted=homes > 0)
    findings = _fix_all(services, held, looks, logs) if fix else _findings_of(looks, logs)
    origins = unseen_origins(cors_origins(services.settings, services.control).unread)
    unowned = _look_for_unowned(services, everybody) if tenant is None else []
    notes = [f"{each.tenant.slug}: inactive, without a bucket of its own" for each in held if _is_idle(each)]
    return AuditReport(
        tenants_checked=len(held),
        buckets_checked=homes + logs.is_there,
        findings=[*findings, *origins, *(each for each in unowned if isinstance(each, AuditFinding))],
        not_offered=sorted({name for each in (*looks, logs) for name in each.not_offered}),
        notes=[*notes, *(each for each in unowned if isinstance(each, str))],
    )


def _findings_of(looks: Sequence[BucketFindings], logs: BucketFindings) -> list[AuditFinding]:
    return [finding for each in (logs, *looks) for finding in each.findings]


def _is_idle(holding: Holding) -> bool:
    return holding.bucket is None and holding.contradiction is None and not holding.tenant.is_active


def _look(services: Services, holding: Holding) -> BucketFindings:
    """Check one tenant's bucket. An error of S3 is a finding, but a temporary one ends the audit."""
    services.stop_here()
    seen = _look_at_tenant(services, holding)
    return replace(seen, findings=tuple(replace(each, tenant_id=holding.tenant.id) for each in seen.findings))


def _look_at_tenant(services: Services, holding: Holding) -> BucketFindings:
    slug = holding.tenant.slug
    if holding.contradiction:
        kind = FindingKind.CONTRADICTION
        return BucketFindings((AuditFinding(kind, holding.contradiction.message, holding.contradiction.hint, slug),))
    if holding.bucket is None:
        hint = f"`rehouse migrate {slug}` makes one"
        found = AuditFinding(FindingKind.NO_BUCKET, "it has no bucket of its own", hint, slug)
        return BucketFindings(() if _is_idle(holding) else (found,))
    try:
        seen = _look_at_home(services, holding, holding.bucket)
    except TryAgain:
        raise
    except RehouseError as error:
        return BucketFindings((unread_bucket(error, slug, holding.bucket),), is_there=True)
    return replace(seen, findings=(*_shared_home(holding), *seen.findings))


def _look_at_home(services: Services, holding: Holding, bucket: str) -> BucketFindings:
    if wrong := presence_of(services, bucket, holding.tenant.slug):
        is_missing = wrong.kind is FindingKind.MISSING_BUCKET
        return BucketFindings(() if is_missing and holding.is_rolled_back else (_grade_missing(wrong, holding),))
    spec = home_spec(services.settings, services.control, holding.tenant, bucket, may_be_closed=holding.is_rolled_back)
    seen = settings_of(services, spec, holding.tenant.slug)
    return replace(seen, findings=(*seen.findings, *unwanted_metrics(services, spec, holding.tenant.slug)))


def _grade_missing(missing: AuditFinding, holding: Holding) -> AuditFinding:
    """Change the finding about a missing bucket if its name is only reserved: then it is not lost, only not created yet."""
    if missing.kind is not FindingKind.MISSING_BUCKET or holding.is_made:
        return missing
    hint = f"`rehouse migrate {holding.tenant.slug}` makes it"
    return replace(
        missing, kind=FindingKind.NO_BUCKET, message=f"{holding.bucket} is reserved and not created yet", hint=hint
    )


def _shared_home(holding: Holding) -> tuple[AuditFinding, ...]:
    if not holding.others:
        return ()
    detail = f"{holding.bucket} is the home of {', '.join(holding.others)} too"
    hint = "correct tenants.aws_bucket_name: each tenant needs a bucket of its own"
    return (AuditFinding(FindingKind.SHARED_HOME, detail, hint, holding.tenant.slug, holding.bucket),)


def _look_at_logs(services: Services, *, is_wanted: bool) -> BucketFindings:
    """Check the bucket for access logs, which must exist as soon as any tenant has a bucket."""
    settings, control = services.settings, services.control
    if not has_access_logs(settings):
        return BucketFindings()
    name = log_bucket_name(settings, control)
    try:
        wrong = presence_of(services, name, None)
        if wrong is None:
            spec = log_spec(settings, control, present=True)
            seen = settings_of(services, spec, None)
            return replace(seen, findings=(*seen.findings, *unfit_logs(services, spec)))
    except TryAgain:
        raise
    except RehouseError as error:
        return BucketFindings((unread_bucket(error, None, name),))
    if wrong.kind is not FindingKind.MISSING_BUCKET:
        return BucketFindings((wrong,))
    return BucketFindings((replace(wrong, hint=FIX_HINT, can_be_fixed=True),) if is_wanted else ())


def _fix_all(
    services: Services, held: Sequence[Holding], looks: Sequence[BucketFindings], logs: BucketFindings
) -> list[AuditFinding]:
    """Correct what can be corrected; return the findings. The log bucket comes first, because the others log to it."""
    findings = _fix(logs.findings, lambda: provision_log_bucket(services.settings, services.control))
    for holding, seen in zip(held, looks, strict=True):
        services.stop_here()
        metrics = any(each.setting == "metrics" and each.can_be_fixed for each in seen.findings)
        findings += _fix(seen.findings, lambda one=holding, m=metrics: _repair(services, one, metrics=m))  # type: ignore[misc]
    return findings


def _repair(services: Services, holding: Holding, *, metrics: bool) -> None:
    tenant, bucket = holding.tenant, holding.bucket or ""
    with services.locks.hold(tenant.id, tenant.slug):
        repair_home(services, tenant, bucket, may_be_closed=holding.is_rolled_back)
        if metrics and not services.settings.request_metrics:
            _remove_metrics(services.control, bucket)


def _remove_metrics(control: Control, bucket: str) -> None:
    """Remove only the metrics configuration that has rehouse's id."""
    with translate_errors(f"{bucket}, metrics"):
        control.client.delete_bucket_metrics_configuration(Bucket=bucket, Id=METRICS_ID, **control.owner())


def _fix(findings: Sequence[AuditFinding], repair: Callable[[], object]) -> list[AuditFinding]:
    """Repair one bucket; return its findings, marked as fixed. A repair that fails adds a finding and does not end the audit."""
    if not any(each.can_be_fixed for each in findings):
        return list(findings)
    try:
        repair()
    except RehouseError as error:
        first = findings[0]
        why_not = AuditFinding(FindingKind.COULD_NOT_FIX, error.message, error.hint, first.tenant, first.bucket)
        why_not = replace(why_not, tenant_id=first.tenant_id)
        return [*findings, why_not]
    return [replace(each, is_fixed=each.can_be_fixed) for each in findings]


def _look_for_unowned(services: Services, held: Sequence[Holding]) -> list[AuditFinding | str]:
    """Look for buckets of ours without a tenant; return findings, and notes on buckets that may be ours."""
    try:
        names = list_unowned(services, held)
    except (StorageRefused, StorageUnavailable) as error:
        return [unread_bucket(error, None, None)]
    seen = []
    for name in names:
        services.stop_here()
        seen.append(unowned_bucket(services.control, services.settings.bucket_prefix, name))
    return seen
