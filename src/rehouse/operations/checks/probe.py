"""The probe: test everything that a migration writes in a scratch bucket, which is always emptied and removed again.

No tenant's bucket can have its name. The probe only reads the shared bucket: it copies one of its objects, as a migration does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rehouse.config import Settings
from rehouse.core.bucket.spec import BucketSpec, differences
from rehouse.core.errors import RehouseError, StorageRefused, StorageUnavailable
from rehouse.core.model import Tenant
from rehouse.core.naming import MAX_BUCKET_NAME, SUFFIX_DIGITS
from rehouse.core.permissions.policies import PROBE_NAME
from rehouse.operations.buckets.home_spec import has_access_logs, home_spec, log_bucket_name
from rehouse.operations.buckets.homes import namespace
from rehouse.operations.checks.application import RIGHTS_HINT
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
from rehouse.operations.checks.shared_bucket import first_object
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.scratch import is_refused_by_condition, remove_scratch
from rehouse.s3.buckets.upload_probe import NO_UPLOAD_HINT, takes_uploads
from rehouse.s3.faults import translate_errors

SCRATCH = "probe: scratch bucket"
WRITE = "probe: objects"
MULTIPART = "probe: large objects"
COPY = "probe: copy from the shared bucket"
SOURCE_CONDITION = "probe: conditions on the source"
TARGET_CONDITION = "probe: conditions on the target"
REMOVAL = "probe: removal"
APPLICATION = "probe: the application's rights"

KEY = "documents/probe/probe.txt"
COPIED = "documents/probe/copied"


def check_by_probe(settings: Settings, control: Control, application: Control | None) -> Iterator[Check]:
    """Yield the checks that write. The scratch bucket is removed in every case, even if the generator is stopped."""
    bucket = ""
    try:
        bucket = _scratch_name(settings, control)
        control.create(bucket)
    except RehouseError as error:
        yield of_error(SCRATCH, error)
        if bucket and isinstance(error, StorageUnavailable):  # there was no answer, so the bucket may exist
            yield _removal_check(control, bucket)
        yield from skip_dependents((WRITE, MULTIPART, COPY, SOURCE_CONDITION, TARGET_CONDITION), "no scratch bucket")
        return
    try:
        yield ok(SCRATCH, f"{bucket} created")
        yield from _settings(settings, control, bucket)
        yield try_check(WRITE, lambda: _objects(settings, control, bucket))
        yield try_check(MULTIPART, lambda: _multipart(control, bucket))
        yield from _copies(settings, control, bucket)
        if application is not None:
            yield try_check(APPLICATION, lambda: _application(application, bucket), rights_hint=RIGHTS_HINT)
    finally:
        removal = _removal_check(control, bucket)
    yield removal


def _scratch_name(settings: Settings, control: Control) -> str:
    """Return a name in the tenants' namespace; its random part is shorter if the ending is long."""
    name, ending = f"{settings.bucket_prefix}-{PROBE_NAME}-", namespace(settings, control.identity().account)
    room = min(SUFFIX_DIGITS, MAX_BUCKET_NAME - len(name) - len(ending))
    return name + secrets.token_hex(SUFFIX_DIGITS)[:room] + ending


def _settings(settings: Settings, control: Control, bucket: str) -> Iterator[Check]:
    try:
        spec = _scratch_spec(settings, control, bucket)
    except RehouseError as error:
        yield of_error("probe: specification", error)
        return
    for setting, document in spec.documents().items():
        subject = f"probe: setting {setting}"
        yield try_check(subject, lambda s=setting, d=document, t=subject: _setting(control, spec, s, d, t))  # type: ignore[misc]
    if spec.logging is None and has_access_logs(settings):
        yield no_answer("probe: setting logging", "there is no log bucket yet, and the probe does not create one")


def _scratch_spec(settings: Settings, control: Control, bucket: str) -> BucketSpec:
    spec = home_spec(settings, control, Tenant(0, "probe", "probe", None, False), bucket)
    has_log_bucket = has_access_logs(settings) and control.head(log_bucket_name(settings, control)).whose == "ours"
    return spec if has_log_bucket else replace(spec, logging=None)


def _setting(control: Control, spec: BucketSpec, setting: str, document: Any, subject: str) -> Check:
    offered = control.apply(spec.bucket, setting, document)
    found = control.read(spec.bucket, [setting])
    drifts = [drift for drift in differences(spec, found) if drift.setting == setting]
    if not offered or any(drift.kind == "not_offered" for drift in drifts):
        return notice(subject, "not offered by this endpoint", "the tenants' buckets will not have it")
    if drifts:
        return failure(
            subject,
            f"written, but it {drifts[0].kind} when read back",
            "check whether an organisation's policy changes it",
        )
    return ok(subject, "written and read back")


def _objects(settings: Settings, control: Control, bucket: str) -> Check:
    client, owner = control.client, control.owner()
    if not control.session.is_aws and not takes_uploads(control, bucket):
        return failure(WRITE, "this endpoint refuses uploads to a bucket with these settings", NO_UPLOAD_HINT)
    client.put_object(Bucket=bucket, Key=KEY, Body=b"probe", Tagging="probe=1", **owner)
    client.head_object(Bucket=bucket, Key=KEY, **owner)
    client.get_object_tagging(Bucket=bucket, Key=KEY, **owner)
    listed = client.list_objects_v2(Bucket=bucket, **owner).get("Contents", [])
    if [each["Key"] for each in listed] != [KEY]:
        return failure(
            WRITE, "an object that was written is not listed", "check whether the endpoint is behind a cache"
        )
    return ok(WRITE, "written with tags, read, listed")


def _multipart(control: Control, bucket: str) -> Check:
    client, owner = control.client, control.owner()
    upload = client.create_multipart_upload(Bucket=bucket, Key=COPIED, **owner)["UploadId"]
    client.list_multipart_uploads(Bucket=bucket, **owner)
    client.abort_multipart_upload(Bucket=bucket, Key=COPIED, UploadId=upload, **owner)
    return ok(MULTIPART, "an upload in parts can be started, found and aborted")


def _copies(settings: Settings, control: Control, bucket: str) -> Iterator[Check]:
    shared = settings.remaining_bucket
    if shared is None:
        yield from skip_dependents((COPY, SOURCE_CONDITION, TARGET_CONDITION), "the shared bucket was removed")
        return
    try:
        with translate_errors(shared):
            key = first_object(control, shared)
    except (StorageRefused, StorageUnavailable):
        yield from skip_dependents((COPY, SOURCE_CONDITION, TARGET_CONDITION), f"{shared} could not be listed")
        return
    if key is None:
        yield from skip_dependents((COPY, SOURCE_CONDITION, TARGET_CONDITION), f"{shared} is empty")
        return
    copy = _new_copier(control, shared, key, bucket)
    first = try_check(COPY, lambda: _copy_check(copy))
    yield first
    if first.outcome is not Outcome.OK:
        yield from skip_dependents((SOURCE_CONDITION, TARGET_CONDITION), "no copy")
        return
    yield try_check(SOURCE_CONDITION, lambda: _source_condition(copy))
    yield try_check(TARGET_CONDITION, lambda: _target_condition(copy))


def _new_copier(control: Control, source: str, key: str, bucket: str) -> Callable[..., object]:
    owner = control.owner()
    source_owner = {"ExpectedSourceBucketOwner": account} if (account := control.identity().account) else {}

    def copy(**conditions: str) -> object:
        arguments: dict[str, Any] = {**owner, **source_owner, **conditions}
        return control.client.copy_object(
            Bucket=bucket, Key=COPIED, CopySource={"Bucket": source, "Key": key}, **arguments
        )

    return copy


def _copy_check(copy: Callable[..., object]) -> Check:
    copy()
    return ok(COPY, "an object was copied, with its tags")


def _source_condition(copy: Callable[..., object]) -> Check:
    if is_refused_by_condition(lambda: copy(CopySourceIfMatch='"00000000000000000000000000000000"')):
        return ok(SOURCE_CONDITION, "supported: S3 does not copy a source that changed")
    return failure(
        SOURCE_CONDITION,
        "ignored by this endpoint",
        "a source that is overwritten meanwhile would be copied without notice",
    )


def _target_condition(copy: Callable[..., object]) -> Check:
    if is_refused_by_condition(lambda: copy(IfNoneMatch="*")):
        return ok(TARGET_CONDITION, "supported: S3 does not overwrite an object that changed")
    return notice(
        TARGET_CONDITION, "ignored by this endpoint: copies are not guarded", "let only one operator work at a time"
    )


def _application(application: Control, bucket: str) -> Check:
    client, key = application.client, "documents/probe/application.txt"
    client.put_object(Bucket=bucket, Key=key, Body=b"probe")
    client.get_object(Bucket=bucket, Key=key)["Body"].read()
    client.delete_object(Bucket=bucket, Key=key)
    return ok(APPLICATION, "it writes, reads and deletes in a tenant's bucket")


def _removal_check(control: Control, bucket: str) -> Check:
    hint = f"empty {bucket} with all its versions (the S3 console's Empty does so), then delete it"
    try:
        remove_scratch(control, bucket)
    except RehouseError as error:
        return failure(REMOVAL, f"{bucket} could not be removed: {error.message}", hint)
    return ok(REMOVAL, "the scratch bucket was removed")
