"""Remove current objects, each on the condition that it still has a given ETag and never by a version's id.

Up to 1,000 go in one request. A key that XML cannot carry goes in a request of its own, and so does every key where the
endpoint has no DeleteObjects. An object that is not there counts as removed; one that stays is data (`Removed.fault`).
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
from rehouse.s3.faults import ABSENT, NOT_OFFERED, PRECONDITION_FAILED, Verdict, translated, verdict

NEVER_WAS = "rehouse-never-was-"
"""So begins the key that is asked for to see whether conditions are looked at."""
DELETE_OBJECTS = "DeleteObjects"
REMOVED_PER_REQUEST = 1000
MISSED = ABSENT | {PRECONDITION_FAILED}
"""What the condition of a removal is answered with where there is no object."""

AGAIN_AFTER_SECONDS = (0.2, 1.0, 4.0)
"""How long to wait before an object is tried again that S3 was too busy for; then it stays for the next run."""

_UNFIT_FOR_XML = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_DOTTED = re.compile(r"(^|/)\.{1,2}(/|$)")


class Removed(NamedTuple):
    """What became of an object: gone (no fault), or still there and why. `PreconditionFailed`: it has another ETag."""

    key: str
    fault: Fault | None = None


def remove(control: Control, bucket: str, etags: Mapping[str, str]) -> Iterator[Removed]:
    """Yield what became of each key; `etags` says for each which ETag it must still have.

    Raises StorageRefused or StorageUnavailable where a whole request failed: then what it was to remove may be gone or not.
    """
    single = [key for key in etags if _UNFIT_FOR_XML.search(key)]
    together = iter([key for key in etags if not _UNFIT_FOR_XML.search(key)])
    while batch := list(islice(together, REMOVED_PER_REQUEST)):
        yield from _patiently(control, bucket, {key: etags[key] for key in batch})
    for key in single:
        yield _one(control, bucket, key, etags[key])


def honours_conditions(control: Control, bucket: str) -> bool:
    """Return whether the endpoint looks at the condition of a removal, asked with a key that never was: it has to be missed.

    Any other answer, such as a refusal, says nothing of conditions: it is no yes.
    Where it does not look, a versioned bucket has a delete marker of that key afterwards.
    """
    key = f"{NEVER_WAS}{secrets.token_hex(16)}"
    faults = [removed.fault for removed in _sent(control, bucket, {key: "0" * 32}, absent_is_gone=False)]
    return all(fault is not None and fault.code in MISSED for fault in faults)


def _patiently(control: Control, bucket: str, etags: Mapping[str, str]) -> Iterator[Removed]:
    waiting = dict(etags)
    for delay_seconds in (*AGAIN_AFTER_SECONDS, None):
        busy = {}
        for removed in _sent(control, bucket, waiting, absent_is_gone=True):
            if removed.fault and delay_seconds is not None and verdict(removed.fault.code) is Verdict.RETRY:
                busy[removed.key] = waiting[removed.key]
            else:
                yield removed
        if not busy or delay_seconds is None:
            return
        waiting = busy
        control.sleep(delay_seconds)


def _sent(control: Control, bucket: str, etags: Mapping[str, str], *, absent_is_gone: bool) -> Iterable[Removed]:
    """Remove all of them, in one request where the endpoint has it; whatever the answer does not name was not answered for."""
    if DELETE_OBJECTS not in control.not_offered:
        try:
            return _together(control, bucket, etags, absent_is_gone=absent_is_gone)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in NOT_OFFERED:
                raise translated(error, f"removing objects of {bucket}") from None
            control.not_offered.add(DELETE_OBJECTS)
        except BotoCoreError as error:
            raise translated(error, f"removing objects of {bucket}") from None
    return (_one(control, bucket, key, etag, absent_is_gone=absent_is_gone) for key, etag in etags.items())


def _together(control: Control, bucket: str, etags: Mapping[str, str], *, absent_is_gone: bool) -> list[Removed]:
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
            fault = Fault("IncompleteReply", "S3 did not say what became of it")
        if fault and absent_is_gone and fault.code in ABSENT:
            fault = None
        removed.append(Removed(key, Fault(fault.code, fault.message, request_id) if fault else None))
    return removed


def _one(control: Control, bucket: str, key: str, etag: str, *, absent_is_gone: bool = True) -> Removed:
    if _DOTTED.search(key):  # libraries below boto3 take dot segments out of a path: another object would go
        return Removed(
            key, Fault("InvalidKey", "a key with dot segments that goes in a request of its own is removed by hand")
        )
    try:
        control.client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"', **control.owner())
    except ClientError as error:
        found = error.response.get("Error", {})
        code = str(found.get("Code"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
        if code in ABSENT and absent_is_gone:
            return Removed(key)
        if verdict(code, status) is Verdict.REFUSE:
            raise translated(error, f"removing an object of {bucket}") from None
        code = PRECONDITION_FAILED if status == 412 else code
        request_id = error.response.get("ResponseMetadata", {}).get("RequestId")
        return Removed(key, Fault(code, str(found.get("Message") or code), request_id))
    except BotoCoreError as error:
        raise translated(error, f"removing an object of {bucket}") from None
    return Removed(key)
