"""Provision: make a tenant's bucket match its BucketSpec, whatever its state was before, and read it back.

It is idempotent: for a bucket that is right it only reads, and it completes a bucket that a crash left unfinished. It sets the
protections first (public access, ownership, policy), so no object is ever in an open bucket. It never uses a bucket of another
account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from rehouse.config import Settings
from rehouse.core.bucket.documents import TEMPORARY_PREFIX, Document, public_access_block
from rehouse.core.bucket.spec import (
    BucketSpec,
    Drift,
    SettingState,
    differences,
    foreign_statements,
    has_ours,
    merge_documents,
)
from rehouse.core.errors import Halt, Refused, StorageRefused, TryAgain
from rehouse.core.lifecycle import Event, Phase
from rehouse.core.model import Tenant
from rehouse.ledger.settling import Versioning
from rehouse.operations.buckets.home_spec import (
    cors_origins,
    has_access_logs,
    home_spec,
    key_notes,
    log_bucket_name,
    log_spec,
)
from rehouse.operations.buckets.homes import new_home
from rehouse.operations.buckets.log_bucket import LOG_RIGHTS_HINT, UNFIT_HINT, unfit_settings
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Run
from rehouse.s3.buckets.control import Control, foreign_bucket_error
from rehouse.s3.buckets.region import region_mismatch
from rehouse.s3.buckets.upload_probe import NO_UPLOAD_HINT, takes_uploads
from rehouse.s3.faults import ACCESS_DENIED, refused_error

READ_BACK_DELAYS_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses, about a minute in all, because S3 may return an old configuration after a write ("Amazon S3 data consistency model")."""

NOT_KEPT_HINT = (
    "another tool or an organisation's policy may configure it; correct that, then run the same command again"
)

GIVEN = ("public_access_block", "ownership", "encryption")
"""The settings of every new S3 bucket ("Default settings for new S3 buckets", since April 2023)."""

NAMES = 3
"""How many bucket names to try if other accounts already have them."""

PROTECTIONS = frozenset({"public_access_block", "ownership", "policy"})
"""The settings that could lock everybody out of a bucket."""


def do_nothing(setting: str) -> None:
    """Do nothing before a setting is written."""


@dataclass(frozen=True, slots=True)
class ProvisionReport:
    """What was done to a bucket: settings changed, settings that the endpoint does not offer, and notes."""

    bucket: str
    created: bool
    changed: tuple[str, ...] = ()
    not_offered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def provision_home(run: Run) -> Run:
    """Make the tenant's home match its specification, under another name if the reserved one is taken.

    Raises Refused if the bucket that the application gave the tenant has documents that the lifecycle rules would remove.
    """
    services = run.services
    if not run.is_live and run.is_home_adopted:
        _refuse_what_would_expire(run)
    if run.phase is not Phase.PLANNED and run.migration.home_bucket in services.provisioned:
        return run  # an earlier stage of this run provisioned it
    if run.phase is Phase.PLANNED:  # a killed run may have made it just now
        services.control.new_buckets.expect(run.migration.home_bucket)
    run, made = _provision_under_a_free_name(run)
    if run.phase is Phase.PLANNED or "versioning" in made.changed:
        services.ledger.of(run.migration, Versioning).record()
    services.provisioned.add(run.migration.home_bucket)
    report = replace(run.report, not_offered=made.not_offered, home_bucket=run.migration.home_bucket)
    run = replace(run, report=report).note(*made.notes)
    return run.advance(Event.BUCKET_READY) if run.phase is Phase.PLANNED else run


def _refuse_what_would_expire(run: Run) -> None:
    home = run.migration.home_bucket
    count = run.services.ledger.documents(run.migration).count_below(TEMPORARY_PREFIX)
    if count:
        days = run.services.settings.lifecycle.temporary_days
        raise Refused(
            f"{run.slug}: documents ({count}) are below {TEMPORARY_PREFIX} in {home}, where objects expire after {days} days",
            hint="give them other keys (copy the object, then update the row), then run the same command again",
            subject=run.slug,
        )


def _provision_under_a_free_name(run: Run) -> tuple[Run, ProvisionReport]:
    services, tenant = run.services, run.tenant
    for _ in range(NAMES):
        try:
            before = partial(_expect_versioning, services.ledger.of(run.migration, Versioning))
            return run, provision(services, tenant, run.migration.home_bucket, before=before)
        except StorageRefused as error:
            is_named_by_us = not run.is_home_adopted and run.phase is Phase.PLANNED
            if error.code != "BucketAlreadyExists" or not is_named_by_us:
                raise
            name = new_home(tenant, services.settings, services.control.identity().account)
            run = run.at(services.ledger.rename_home(run.migration, name))
    raise TryAgain(
        f"{run.slug}: every bucket name that was tried belongs to another account",
        hint="set another REHOUSE_BUCKET_PREFIX",
        subject=run.slug,
    )


def _expect_versioning(versioning: Versioning, setting: str) -> None:
    """Record that versioning is about to be enabled, if it is the next setting to be written."""
    if setting == "versioning":
        versioning.record_beginning()


def provision(
    services: Services, tenant: Tenant, bucket: str, *, before: Callable[[str], object] = do_nothing
) -> ProvisionReport:
    """Make `bucket` match the BucketSpec of the tenant's home, creating it if it is absent, and the log bucket too.

    `before` is called with the name of each setting of the home before it is written.
    Raises StorageRefused if it belongs to somebody else or a right is missing, Halt if it still differs from its spec afterwards.
    """
    return provision_bucket(services.settings, services.control, tenant, bucket, before=before)


def repair_home(services: Services, tenant: Tenant, bucket: str, *, may_be_closed: bool) -> ProvisionReport:
    """Make an existing home match its BucketSpec, as `provision` does.

    If this enables versioning, it records the time, so that the next run waits until S3 has settled it.
    """
    provision_it = partial(
        provision_bucket, services.settings, services.control, tenant, bucket, may_be_closed=may_be_closed
    )
    migration = services.ledger.migration(tenant)
    if migration is None or migration.home_bucket != bucket:
        return provision_it()
    versioning = services.ledger.of(migration, Versioning, run_id=migration.run_id)
    made = provision_it(before=partial(_expect_versioning, versioning))
    if "versioning" in made.changed:
        versioning.record()
    return made


def provision_bucket(
    settings: Settings,
    control: Control,
    tenant: Tenant,
    bucket: str,
    *,
    may_be_closed: bool = False,
    before: Callable[[str], object] = do_nothing,
) -> ProvisionReport:
    """Provision a bucket as `provision` does, given only the settings and the control plane."""
    if bucket in settings.shared_bucket:
        told, hint = (
            f"{bucket} is a shared bucket and cannot be a tenant's bucket",
            "`rehouse plan` shows each tenant's bucket",
        )
        raise Halt(told, hint=hint, subject=bucket)
    spec = home_spec(settings, control, tenant, bucket, may_be_closed=may_be_closed)
    present = _is_present(settings, control, bucket)
    log_notes = _ensure_logs(settings, control) if has_access_logs(settings) else ()
    # AWS's protections work as documented. Test those of other servers, unless the bucket is to be closed to everybody.
    tried = not control.session.is_aws and not may_be_closed
    report = _conform(control, spec, present=present, tried=tried, before=before)
    notes = (*log_notes, *key_notes(settings, control), *cors_origins(settings, control).notes)
    return ProvisionReport(bucket, report.created, report.changed, report.not_offered, notes)


def _ensure_logs(settings: Settings, control: Control) -> tuple[str, ...]:
    """Provision the bucket for access logs, once a run; return notes about it."""
    return control.once(_provision_logs_or_note, settings=settings)


def _provision_logs_or_note(control: Control, settings: Settings) -> tuple[str, ...]:
    """Provision the log bucket; return a note if it exists but may not be changed, because the tenants' buckets can log to it."""
    try:
        provision_log_bucket(settings, control)
    except StorageRefused as error:
        name = log_bucket_name(settings, control)
        if error.code != ACCESS_DENIED or not _is_present(settings, control, name):
            raise
        return (f"the log bucket differs from its specification and was not changed: {error.message}. {error.hint}",)
    return ()


def provision_log_bucket(settings: Settings, control: Control) -> ProvisionReport:
    """Make the bucket for access logs match its BucketSpec, creating it if it is absent, once a run.

    Raises StorageRefused if S3 could not deliver logs into it, or if it must be made or changed and the rights are missing.
    """
    return control.once(_provision_log_bucket, settings=settings)


def _provision_log_bucket(control: Control, settings: Settings) -> ProvisionReport:
    name = log_bucket_name(settings, control)
    present = _is_present(settings, control, name)
    try:
        spec = log_spec(settings, control, present=present)
        if present:
            _refuse_unfit_logs(control, spec)
        return _conform(control, spec, present=present)
    except StorageRefused as error:
        if error.code == ACCESS_DENIED:
            error.hint = LOG_RIGHTS_HINT
        elif not control.session.is_aws:
            error.hint = f"if this endpoint is Ceph, set REHOUSE_S3_DIALECT=ceph; else {error.hint}"
        raise


def _refuse_unfit_logs(control: Control, spec: BucketSpec) -> None:
    if unfit := unfit_settings(control, spec):
        told = f"the log bucket {spec.bucket} cannot receive logs: {'; '.join(each.reason for each in unfit)}"
        raise StorageRefused(told, hint=UNFIT_HINT, code="LogBucket", subject=spec.bucket)


def _is_present(settings: Settings, control: Control, bucket: str) -> bool:
    presence = control.head(bucket)
    if presence.whose == "somebody_else":
        raise foreign_bucket_error(bucket)
    if presence.whose == "unknown":
        raise refused_error(presence.code or ACCESS_DENIED, "its owner could not be read", f"the bucket {bucket}")
    if presence.whose == "ours" and presence.region and presence.region != control.session.region:
        raise region_mismatch(bucket, presence.region, control.session.region)
    return presence.whose == "ours"


def _conform(
    control: Control,
    spec: BucketSpec,
    *,
    present: bool,
    tried: bool = False,
    before: Callable[[str], object] = do_nothing,
) -> ProvisionReport:
    """Write the settings that differ, in the spec's order, and read them back. `tried`: test that uploads still work."""
    wanted = spec.documents()
    reopened = present and "policy" not in wanted and _reopen(control, spec.bucket)
    if present:
        found = control.read(spec.bucket, wanted)
        drifts = differences(spec, found)
        _refuse_unreadable(spec.bucket, drifts)
        to_write = [drift.setting for drift in drifts if drift.kind != "not_offered"]
        to_read = to_write
    else:
        found = {}
        tagged = control.create(spec.bucket, tags=spec.tags)
        drifts = ()
        right = _preset_settings(control, spec)
        to_write = [setting for setting in wanted if setting not in right and not (tagged and setting == "tags")]
        to_read = [setting for setting in wanted if setting not in right]
    not_offered = {drift.setting for drift in drifts if drift.kind == "not_offered"}
    # The protections first. If the run is stopped here, an unwritten setting makes the next run test uploads again.
    protections = [setting for setting in to_write if setting in PROTECTIONS]
    write = _protect if tried and (to_write or reopened) else _write
    not_offered |= write(control, spec, protections, found)
    others = [setting for setting in to_write if setting not in protections]
    not_offered |= _write(control, spec, others, found, before)
    not_offered |= _read_back(control, spec, [setting for setting in to_read if setting not in not_offered])
    changed = tuple(setting for setting in to_write if setting not in not_offered) + ("policy",) * reopened
    return ProvisionReport(spec.bucket, not present, changed, tuple(sorted(not_offered)))


def _preset_settings(control: Control, spec: BucketSpec) -> set[str]:
    """Return the settings of a new bucket that S3 has already set as they must be, so they are not written."""
    given = [setting for setting in GIVEN if setting in spec.documents()]
    found = control.read(spec.bucket, given)
    return set(given) - {drift.setting for drift in differences(spec, found)}


def _write(
    control: Control,
    spec: BucketSpec,
    settings: Iterable[str],
    found: Mapping[str, SettingState],
    before: Callable[[str], object] = do_nothing,
) -> set[str]:
    """Write the settings; return those that the endpoint does not offer."""
    refused_settings = set()
    for setting in settings:
        before(setting)
        present = found.get(setting, SettingState("absent")).value
        if not control.apply(spec.bucket, setting, merge_documents(setting, spec.documents()[setting], present)):
            refused_settings.add(setting)
    return refused_settings


def _protect(control: Control, spec: BucketSpec, settings: list[str], found: Mapping[str, SettingState]) -> set[str]:
    """Write the protections, and test once a run that uploads still work. Raises StorageRefused if they do not.

    If the bucket accepted uploads before, it accepts them again then.
    """
    took_uploads = bool(found) and takes_uploads(control, spec.bucket)
    not_offered = _write(control, spec, settings, found)
    try:
        control.once(_try_upload, bucket=spec.bucket)
    except StorageRefused:
        if took_uploads:
            _take_back(control, spec.bucket)
        raise
    return not_offered


def _try_upload(control: Control, bucket: str) -> None:
    if not takes_uploads(control, bucket):
        refusal = f"the bucket {bucket} refuses uploads after its policy was set"
        raise StorageRefused(refusal, hint=NO_UPLOAD_HINT, code=ACCESS_DENIED, subject=bucket)


def _take_back(control: Control, bucket: str) -> None:
    control.apply(bucket, "public_access_block", {**public_access_block(), "BlockPublicAcls": False})
    _keep_foreign(control, bucket, control.read_setting(bucket, "policy").value)


def _reopen(control: Control, bucket: str) -> bool:
    """Remove our statements from the policy of a bucket that has none in its spec; return whether there were any.

    After a removal that was refused, the bucket is still closed, and no other setting shows that.
    """
    if not has_ours(policy := _read_policy(control, bucket)):
        return False
    _keep_foreign(control, bucket, policy)
    for delay_seconds in READ_BACK_DELAYS_SECONDS:
        control.wait(bucket, delay_seconds, "waiting for S3 to return its policy as it was written")
        if not has_ours(_read_policy(control, bucket)):
            return True
    told = f"the bucket {bucket} is not as it must be: its policy is still there after it was removed"
    raise Halt(told, hint=NOT_KEPT_HINT, subject=bucket)


def _read_policy(control: Control, bucket: str) -> Document | None:
    found = control.read_setting(bucket, "policy")
    if found.state == "unreadable":
        raise refused_error(ACCESS_DENIED, "its policy may not be read", f"the bucket {bucket}")
    return found.value


def _keep_foreign(control: Control, bucket: str, policy: Document | None) -> None:
    if not policy:
        return
    if foreign_ones := foreign_statements(policy):
        control.apply(bucket, "policy", {**policy, "Statement": foreign_ones})
    else:
        control.remove_policy(bucket)


def _read_back(control: Control, spec: BucketSpec, settings: list[str]) -> set[str]:
    """Read the settings back; return those that the endpoint does not keep. Raises Halt for those that still differ."""
    not_offered: set[str] = set()
    left: tuple[Drift, ...] = ()
    for delay_seconds in READ_BACK_DELAYS_SECONDS:
        control.wait(
            spec.bucket, delay_seconds, f"waiting for S3 to return the settings as written: {', '.join(settings)}"
        )
        found = control.read(spec.bucket, settings)
        drifts = [drift for drift in differences(spec, found) if drift.setting in found]
        _refuse_unreadable(spec.bucket, drifts)
        not_offered |= {drift.setting for drift in drifts if drift.kind == "not_offered"}
        left = tuple(drift for drift in drifts if drift.kind != "not_offered")
        settings = [drift.setting for drift in left]
        if not left:
            return not_offered
    raise Halt(
        f"the bucket {spec.bucket} is not as it must be: {left[0].setting} {_describe(left[0])} after it was written",
        hint=NOT_KEPT_HINT,
        subject=spec.bucket,
    )


def _refuse_unreadable(bucket: str, drifts: Iterable[Drift]) -> None:
    for drift in drifts:
        if drift.kind == "unreadable":
            raise refused_error(ACCESS_DENIED, f"its {drift.setting} may not be read", f"the bucket {bucket}")


def _describe(drift: Drift) -> str:
    return "is still missing" if drift.kind == "missing" else "still differs"
