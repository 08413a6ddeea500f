"""Remove current objects, each on the condition that it still has a given ETag, and never by version id.

One request removes up to 1,000 objects. A key that XML cannot carry gets its own request, and so does every key if the
endpoint has no DeleteObjects. A missing object counts as removed. An object that S3 did not remove is reported as data
(`Removed.fault`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.model import Fault
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import ABSENT, NOT_OFFERED, PRECONDITION_FAILED, Verdict, translate_error, verdict

NEVER_WAS = "rehouse-never-was-"
"""The prefix of the key that tests whether the endpoint evaluates conditions; no object has it."""
DELETE_OBJECTS = "DeleteObjects"
REMOVED_PER_REQUEST = 1000
MISSED = ABSENT | {PRECONDITION_FAILED}
"""The errors with which a conditional removal fails if the object does not exist."""

AGAIN_AFTER_SECONDS = (0.2, 1.0, 4.0)
"""The waits before a removal is retried for which S3 was too busy. After that the object stays for the next run."""

_UNFIT_FOR_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DOTTED = re.compile(r"(^|/)\.{1,2}(/|$)")


class RemovalOutcome(NamedTuple):
    """The result for one object: removed (no fault), or why not.

    `PreconditionFailed`: it has another ETag.
    """

    key: str
    fault: Fault | None = None


def remove(control: Control, bucket: str, etags: Mapping[str, str]) -> Iterator[RemovalOutcome]:
    """Remove the objects and yield the result for each key.

    `etags` maps key → the ETag that it must still have. Raises StorageRefused or StorageUnavailable if a whole request failed.
    Its objects may then be removed or not.
    """
    single = [key for key in etags if _UNFIT_FOR_XML.search(key)]
    together = iter([key for key in etags if not _UNFIT_FOR_XML.search(key)])
    while batch := list(islice(together, REMOVED_PER_REQUEST)):
        yield from _remove_with_retries(control, bucket, {key: etags[key] for key in batch})
    for key in single:
        yield _remove_one(control, bucket, key, etags[key])


def honours_conditions(control: Control, bucket: str) -> bool:
    """Return whether the endpoint evaluates the condition of a removal.

    This sends the conditional removal of a key that never existed, which must fail. Any other answer, such as a denied right,
    counts as no. If the endpoint ignores the condition, a versioned bucket then has a delete marker for that key.
    """
    key = f"{NEVER_WAS}{secrets.token_hex(16)}"
    faults = [removed.fault for removed in _send(control, bucket, {key: "0" * 32}, absent_is_gone=False)]
    return all(fault is not None and fault.code in MISSED for fault in faults)


def _remove_with_retries(control: Control, bucket: str, etags: Mapping[str, str]) -> Iterator[RemovalOutcome]:
    waiting = dict(etags)
    for delay_seconds in (*AGAIN_AFTER_SECONDS, None):
        busy = {}
        for removed in _send(control, bucket, waiting, absent_is_gone=True):
            if removed.fault and delay_seconds is not None and verdict(removed.fault.code) is Verdict.RETRY:
                busy[removed.key] = waiting[removed.key]
            else:
                yield removed
        if not busy or delay_seconds is None:
            return
        waiting = busy
        control.sleep(delay_seconds)


def _send(control: Control, bucket: str, etags: Mapping[str, str], *, absent_is_gone: bool) -> Iterable[RemovalOutcome]:
    """Remove the objects, in one request if the endpoint has DeleteObjects.

    A key that the answer does not name has a fault.
    """
    if DELETE_OBJECTS not in control.not_offered:
        try:
            return _remove_together(control, bucket, etags, absent_is_gone=absent_is_gone)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in NOT_OFFERED:
                raise translate_error(error, f"removing objects of {bucket}") from None
            control.not_offered.add(DELETE_OBJECTS)
        except BotoCoreError as error:
            raise translate_error(error, f"removing objects of {bucket}") from None
    return (_remove_one(control, bucket, key, etag, absent_is_gone=absent_is_gone) for key, etag in etags.items())


def _remove_together(
    control: Control, bucket: str, etags: Mapping[str, str], *, absent_is_gone: bool
) -> list[RemovalOutcome]:
    named: Any = [{"Key": key, "ETag": f'"{etag}"'} for key, etag in etags.items()]
    reply = control.client.delete_objects(Bucket=bucket, Delete={"Objects": named, "Quiet": False}, **control.owner())
    faults = {
        str(each.get("Key")): Fault(str(each.get("Code")), str(each.get("Message") or each.get("Code")))
        for each in reply.get("Errors", [])
    }
    gone = {each.get("Key") for each in reply.get("Deleted", [])}
    request_id = reply.get("ResponseMetadata", {}).get("RequestId")
    removed = []
    for key in etags:
        fault = faults.get(key)
        if fault is None and key not in gone:
            fault = Fault("IncompleteReply", "S3's answer does not name this object")
        if fault and absent_is_gone and fault.code in ABSENT:
            fault = None
        removed.append(RemovalOutcome(key, Fault(fault.code, fault.message, request_id) if fault else None))
    return removed


def _remove_one(control: Control, bucket: str, key: str, etag: str, *, absent_is_gone: bool = True) -> RemovalOutcome:
    if _DOTTED.search(key):  # libraries below boto3 resolve dot segments: S3 would remove another object
        return RemovalOutcome(
            key,
            Fault(
                "InvalidKey",
                "rehouse cannot remove a key with dot segments that needs its own request: remove it by hand",
            ),
        )
    try:
        control.client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"', **control.owner())
    except ClientError as error:
        found = error.response.get("Error", {})
        code = str(found.get("Code"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        if code in ABSENT and absent_is_gone:
            return RemovalOutcome(key)
        if verdict(code, status) is Verdict.REFUSE:
            raise translate_error(error, f"removing an object of {bucket}") from None
        code = PRECONDITION_FAILED if status == 412 else code
        request_id = error.response.get("ResponseMetadata", {}).get("RequestId")
        return RemovalOutcome(key, Fault(code, str(found.get("Message") or code), request_id))
    except BotoCoreError as error:
        raise translate_error(error, f"removing an object of {bucket}") from None
    return RemovalOutcome(key)
