"""The bulk plane: thousands of small signed requests per second (copy, head, list), from tasks to outcomes.

One plane serves several threads (`exchange.py`). A failed object is data. If the run cannot continue, the plane waits for the
requests in flight and then raises. The bytes of objects never pass through it.
"""

from __future__ import annotations

import random as chance
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, TypeVar

from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, ObjectRef
from rehouse.core.refusals import name_refusing_place
from rehouse.s3.bulk import listing
from rehouse.s3.bulk.exchange import Exchange
from rehouse.s3.bulk.replies import CopyReply, HeadReply, Reply, read_copy, read_head, read_headers, read_upload
from rehouse.s3.bulk.requests import (
    PAGE,
    Request,
    copy_headers,
    copy_seconds,
    key_path,
    list_query,
    object_name,
    version_query,
)
from rehouse.s3.bulk.sender import Answer
from rehouse.s3.bulk.signing import query_string
from rehouse.s3.bulk.throttle import Throttle
from rehouse.s3.faults import ABSENT, NOT_IMPLEMENTED, NOT_OFFERED, refused_error, unavailable_error
from rehouse.s3.new_buckets import NewBuckets
from rehouse.s3.session import Session

T = TypeVar("T")

MOST_RESERVED = 8
"""How many requests a thread reserves at most unless it needs more, so that enough are left for the others."""
RESTORES_ASKED = {"x-amz-optional-object-attributes": "RestoreStatus"}
ATTRIBUTES_REFUSED = NOT_OFFERED | {"InvalidArgument", "InvalidRequest"}
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Head:
    """The result of a HEAD: the object, or the fault, or neither if the object is missing.

    `checksums` maps lower-case algorithm → value. `was_deleted`: the object is missing and has a delete marker.
    """

    ref: ObjectRef
    object: ListedObject | None = None
    fault: Fault | None = None
    version: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    was_deleted: bool = False


class BulkPlane:
    """Copies, HEADs and listings.

    `owner` is the 12-digit account that must own every bucket. `max_in_flight` limits the requests of all threads together.
    `requests` counts the requests sent, including retries, by kind (copy, head, list, location, upload).
    `target_condition_offered` is None until known, and False once the endpoint refused the condition on a copy's target and
    copied without it. `lists_restores`: whether listings show which archived objects are restored; those of Amazon S3 do.
    """

    def __init__(
        self,
        session: Session,
        *,
        max_in_flight: int,
        max_rate: float | None,
        owner: str | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = chance.random,
        new_buckets: NewBuckets | None = None,
    ) -> None:
        self.target_condition_offered: bool | None = None
        self.lists_restores = session.is_aws
        self._asks_for_restores = True
        self._page_problem = ""
        self._owner = owner
        throttle, new_buckets = Throttle(max_rate, time.monotonic), new_buckets or NewBuckets()
        self._exchange = Exchange(session, max_in_flight, throttle, clock, random, new_buckets=new_buckets)

    @property
    def requests(self) -> Counter[str]:
        """The requests sent so far, by kind."""
        return self._exchange.throttle.sent

    @property
    def is_interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._exchange.is_interrupted

    def copy(self, tasks: Iterable[CopyTask]) -> Iterator[CopyOutcome]:
        """Copy the objects.

        Yield an outcome for each task, in any order, while the tasks are still being read. Raises StorageRefused or
        StorageUnavailable if the run cannot continue. An interruption ends the iteration early: tasks without an outcome were
        not started or not answered.
        """
        unsendable: deque[CopyOutcome] = deque()
        requests = self._copy_requests(tasks, unsendable)
        with closing(self._exchange.run(requests, self._drop_condition)) as answers:
            for answer in answers:
                while unsendable:
                    yield unsendable.popleft()
                yield self._outcome(answer)
        yield from unsendable

    def room(self, seconds: float) -> int:
        """Return how many requests the limiter allows within `seconds` seconds."""
        return self._exchange.throttle.room(seconds)

    @contextmanager
    def reserve(self, least: int) -> Iterator[None]:
        """Wait until the limiter allows `least` requests, and keep them, and a few more if there are, for this thread.

        Rows are locked only afterwards, so no other thread can take the requests that their checks need. Raises Interrupted.
        """
        throttle = self._exchange.throttle
        with throttle.reserve(least, max(least, MOST_RESERVED), lambda: self._exchange.is_interrupted):
            self._exchange.stop_if_interrupted()
            yield

    def head(
        self, refs: Iterable[ObjectRef], *, with_checksums: bool = False, until: float | None = None
    ) -> Iterator[Head]:
        """Yield a Head for each reference, in any order.

        Raises as `copy` does; Interrupted instead of an early end. S3 gives no reason for a failed HEAD. So at the first
        failure in a bucket this asks for the bucket itself, so that a missing bucket or wrong credentials never look like
        missing objects. `until` is a time of the monotonic clock: this raises NotInTime if an answer does not come by then, or
        if a request would have to be sent again.
        """
        asked: set[str] = set()
        unsendable: deque[Head] = deque()
        with closing(self._exchange.run(self._head_requests(refs, with_checksums, unsendable), until=until)) as answers:
            for answer in answers:
                ref = answer.request.context
                assert isinstance(ref, ObjectRef)
                if answer.fault is not None and (ref.bucket not in asked or answer.fault.code == "BadRequest"):
                    self._ask(ref.bucket, until)
                    asked.add(ref.bucket)
                yield _head(ref, answer)
        yield from unsendable
        self._exchange.stop_if_interrupted()

    def list(
        self,
        bucket: str,
        *,
        prefix: str = "",
        after: str = "",
        through: str | None = None,
        until: float | None = None,
        most: int = PAGE,
    ) -> Iterator[Sequence[ListedObject]]:
        """Yield pages of at most `most` objects with keys after `after` and up to `through`, sorted by UTF-8 bytes.

        The next page is fetched while the caller processes this one; with `until`, by the caller's own thread, which may have
        reserved its requests. A listing is complete, or this raises StorageRefused,
        StorageUnavailable or Interrupted. `until`: as for `head`.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="list") as ahead:
            page = self._page(bucket, prefix, after, None, until=until, most=most)
            last = after
            while True:
                last = _require_progress(page, prefix, last, f"s3://{bucket}/{prefix}")
                ends = page.token is None or _is_past(page.objects, through)
                fetch = partial(self._page, bucket, prefix, "", page.token, until=until, most=most)
                following = None if ends or until is not None else ahead.submit(fetch)
                yield page.objects if through is None else [found for found in page.objects if found.key <= through]
                if ends:
                    return
                page = following.result() if following else fetch()

    def read_headers(self, ref: ObjectRef, etag: str) -> Answer[dict[str, str]]:
        """Return the headers of an object that still has this ETag, with its checksums and with values as latin-1."""
        endpoint, name = self._exchange.endpoint(ref.bucket), object_name(ref)
        headers = self._owner_header() | {"if-match": f'"{etag}"', "x-amz-checksum-mode": "ENABLED"}
        path = endpoint.path + key_path(ref.key)
        return self._exchange.answer(
            Request("head", "HEAD", endpoint, path, version_query(ref), headers, name, read_headers)
        )

    def begin_upload(self, target: ObjectRef, headers: Mapping[str, str]) -> Answer[str]:
        """Start a multipart upload with exactly these headers; return its id."""
        endpoint, name = self._exchange.endpoint(target.bucket), object_name(target)
        sent = {"content-length": "0", **headers, **self._owner_header()}
        path, query = endpoint.path + key_path(target.key), query_string([("uploads", "")])
        return self._exchange.answer(Request("upload", "POST", endpoint, path, query, sent, name, read_upload))

    def interrupt(self) -> None:
        """Start no more requests.

        Safe in a signal handler. The generators end when the requests in flight are answered.
        """
        self._exchange.interrupt()

    def close(self) -> None:
        """Close the idle connections."""
        self._exchange.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a BulkPlane belongs to its process: make one in each")

    def _copy_requests(self, tasks: Iterable[CopyTask], unsendable: deque[CopyOutcome]) -> Iterator[Request[CopyReply]]:
        for task in tasks:
            try:
                is_offered = self.target_condition_offered is not False
                yield self._copy_request(task, guarded=is_offered or task.only_guarded)
            except ValueError as error:
                unsendable.append(CopyOutcome(task, fault=Fault("InvalidRequest", str(error)), attempts=0))

    def _copy_request(self, task: CopyTask, *, guarded: bool) -> Request[CopyReply]:
        endpoint = self._exchange.endpoint(task.target.bucket)
        headers = copy_headers(task, self._owner, guarded=guarded)
        path = endpoint.path + key_path(task.target.key)
        subject = f"copying {object_name(task.source)} to {object_name(task.target)}"
        return Request("copy", "PUT", endpoint, path, "", headers, subject, read_copy, task, copy_seconds(task.size))

    def _drop_condition(self, request: Request[CopyReply], fault: Fault) -> Request[CopyReply] | None:
        if fault.code != NOT_IMPLEMENTED or not _has_condition(request):
            return None
        assert isinstance(request.context, CopyTask)
        if request.context.only_guarded:
            return None
        replacement = self._copy_request(request.context, guarded=False)
        replacement.attempts = request.attempts
        return replacement

    def _outcome(self, answer: Answer[CopyReply]) -> CopyOutcome:
        task, attempts = answer.request.context, answer.request.attempts
        assert isinstance(task, CopyTask)
        if answer.value is None:
            fault = answer.fault and name_refusing_place(task, answer.fault)
            return CopyOutcome(task, fault=fault, attempts=attempts)
        copied = answer.value
        is_guarded = _has_condition(answer.request)
        if not is_guarded:  # not earlier: the 501 may have been about the storage class
            self.target_condition_offered = False
        return CopyOutcome(task, copied.etag, copied.version, copied.checksum, None, attempts, is_guarded)

    def _head_requests(
        self, refs: Iterable[ObjectRef], with_checksums: bool, unsendable: deque[Head]
    ) -> Iterator[Request[HeadReply]]:
        headers = self._owner_header() | ({"x-amz-checksum-mode": "ENABLED"} if with_checksums else {})
        for ref in refs:
            try:
                endpoint = self._exchange.endpoint(ref.bucket)
                path, query = endpoint.path + key_path(ref.key), version_query(ref)
            except ValueError as error:
                unsendable.append(Head(ref, fault=Fault("InvalidRequest", str(error))))
                continue
            subject, read = object_name(ref), partial(read_head, ref.key)
            yield Request("head", "HEAD", endpoint, path, query, headers, subject, read, ref)

    def _ask(self, bucket: str, until: float | None) -> None:
        """Raise if the bucket is missing or elsewhere, or if the credentials are wrong, but not if a right is denied."""
        answer = self._one("location", bucket, "location=", lambda reply: reply, until=until)
        if answer.fault is not None and answer.passing:
            raise unavailable_error(answer.fault.code, answer.fault.message, f"s3://{bucket}")

    def _page(
        self,
        bucket: str,
        prefix: str,
        after: str,
        token: str | None,
        *,
        until: float | None = None,
        most: int = PAGE,
    ) -> listing.Page:
        answer = self._listing(bucket, list_query(prefix, after, token, most), until)
        if answer.fault is not None:
            error = unavailable_error if answer.passing else refused_error
            is_cut = answer.fault.code == "IncompleteReply" and bool(self._page_problem)
            message = self._page_problem if is_cut else answer.fault.message
            raise error(answer.fault.code, message, f"listing s3://{bucket}/{prefix}")
        if answer.value is None:
            raise unavailable_error("IncompleteReply", "S3 sent no listing", f"listing s3://{bucket}/{prefix}")
        if token is not None and answer.value.token == token:
            raise refused_error(
                "MalformedListing", "the endpoint lists the same page for ever", f"s3://{bucket}/{prefix}"
            )
        return answer.value

    def _listing(self, bucket: str, query: str, until: float | None) -> Answer[listing.Page]:
        """Ask for a page with restore statuses, or without them if the endpoint refuses that."""
        if self._asks_for_restores:
            answer = self._one("list", bucket, query, self._read_page, RESTORES_ASKED, until=until)
            if answer.fault is None or answer.fault.code not in ATTRIBUTES_REFUSED:
                return answer
        plain = self._one("list", bucket, query, self._read_page, until=until)
        if plain.fault is None:
            self._asks_for_restores = self.lists_restores = False
        return plain

    def _read_page(self, reply: Reply) -> listing.Page | Fault | None:
        self.lists_restores = self.lists_restores or b"<RestoreStatus>" in reply.body
        try:
            return listing.parse(reply.body)
        except listing.UnusableListing as error:
            return Fault("MalformedListing", str(error))
        except ValueError as error:
            self._page_problem = str(error)
            return None

    def _one(
        self,
        kind: str,
        bucket: str,
        query: str,
        read: Callable[[Reply], T | Fault | None],
        more: Mapping[str, str] = NO_HEADERS,
        *,
        until: float | None = None,
    ) -> Answer[T]:
        endpoint, headers = self._exchange.endpoint(bucket), {**more, **self._owner_header()}
        return self._exchange.answer(
            Request(kind, "GET", endpoint, endpoint.path, query, headers, f"s3://{bucket}", read), until
        )

    def _owner_header(self) -> dict[str, str]:
        return {} if self._owner is None else {"x-amz-expected-bucket-owner": self._owner}


def _has_condition(request: Request[CopyReply]) -> bool:
    return "if-none-match" in request.headers or "if-match" in request.headers


def _require_progress(page: listing.Page, prefix: str, last: str, subject: str) -> str:
    """Return the page's last key.

    Raises if the page is out of order or has other keys, because merging it would be wrong.
    """
    if not page.objects:
        return last
    if page.objects[0].key <= last:
        message = f"a page of the listing is not in the order of its keys' bytes: {page.objects[0].key!r} comes after {last!r}"
        raise refused_error("MalformedListing", message, subject)
    if not all(found.key.startswith(prefix) for found in page.objects):
        raise refused_error("MalformedListing", "the endpoint lists keys that were not asked for", subject)
    return page.objects[-1].key


def _is_past(objects: Sequence[ListedObject], through: str | None) -> bool:
    return through is not None and bool(objects) and objects[-1].key >= through


def _head(ref: ObjectRef, answer: Answer[HeadReply]) -> Head:
    if answer.value is not None:
        return Head(ref, answer.value.object, None, answer.value.version, answer.value.checksums)
    missing = answer.fault is not None and answer.fault.code in ABSENT
    return Head(ref, fault=None if missing else answer.fault, was_deleted=missing and answer.is_marked)
