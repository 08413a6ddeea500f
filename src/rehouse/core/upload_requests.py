"""Decide whether a request that a browser wants to send to S3 is one that its grant allows. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rehouse.core.errors import NotGranted


class Purpose(StrEnum):
    """What a request of an upload does, in the order in which a client sends them. A single upload is one PUT."""

    PUT = "put"
    CREATE = "create"
    PART = "part"
    LIST = "list"
    COMPLETE = "complete"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A request that a client asks to have signed, as Uppy's S3 plugin describes it."""

    method: str
    key: str
    upload_id: str | None = None
    part_number: int | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a grant allows: its key, its type, the id of its multipart upload and how many parts that has, or None and 0."""

    grant_id: str
    key: str
    content_type: str
    upload_id: str | None = None
    parts: int = 0


def judge_request(asked: UploadRequest, allowed: Allowed) -> Purpose:
    """Return what the request does. Raises NotGranted if the grant does not allow exactly that.

    | method | upload id | part    | grant       | purpose  |
    |--------|-----------|---------|-------------|----------|
    | PUT    | none      | none    | one request | put      |
    | POST   | none      | none    | parts       | create   |
    | PUT    | its own   | its own | parts       | part     |
    | GET    | its own   | none    | parts       | list     |
    | POST   | its own   | none    | parts       | complete |
    | DELETE | its own   | none    | parts       | abort    |

    Everything else is refused, and so is another key, another upload id, a part that was not granted, or another content type.
    """
    if asked.key != allowed.key:
        raise _refusal(allowed, "another key")
    if asked.content_type is not None and asked.content_type.lower() != allowed.content_type.lower():
        raise _refusal(allowed, "another content type")
    if asked.upload_id is None:
        return _judge_first(asked, allowed)
    if asked.upload_id != allowed.upload_id:
        raise _refusal(allowed, "another multipart upload")
    return _judge_later(asked, allowed)


def _judge_first(asked: UploadRequest, allowed: Allowed) -> Purpose:
    purpose = Purpose.PUT if allowed.upload_id is None else Purpose.CREATE
    method = "PUT" if purpose is Purpose.PUT else "POST"
    if asked.method != method or asked.part_number is not None:
        raise _refusal(allowed, "another request")
    return purpose


def _judge_later(asked: UploadRequest, allowed: Allowed) -> Purpose:
    if asked.method == "PUT":
        if asked.part_number is None or not 1 <= asked.part_number <= allowed.parts:
            raise _refusal(allowed, "a part that it does not have")
        return Purpose.PART
    purpose = {"GET": Purpose.LIST, "POST": Purpose.COMPLETE, "DELETE": Purpose.ABORT}.get(asked.method)
    if purpose is None or asked.part_number is not None:
        raise _refusal(allowed, "another request")
    return purpose


def _refusal(allowed: Allowed, what: str) -> NotGranted:
    return NotGranted(
        f"the upload {allowed.grant_id} does not allow {what}",
        hint="send the key, the upload id and the parts of the grant",
        subject=allowed.grant_id,
    )
