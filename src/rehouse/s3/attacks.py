"""Requests that try to reach another tenant, with any credentials, and what S3 answers. Nothing is judged here.

No attack can damage anything: a write goes to a random key below `temp/`, a deletion names such a key, which does not exist, and a
copy goes into the attacker's own bucket. What a request that should have been refused has left is in its answer, to be removed.
Credentials are never renewed or replaced: a refused request is refused.
"""

from __future__ import annotations

import random as chance
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rehouse.core.isolation import Attack
from rehouse.core.model import ObjectRef
from rehouse.core.pacing import delay_seconds
from rehouse.s3.bulk.replies import Reply, read_upload
from rehouse.s3.bulk.requests import SECONDS, copy_source, key_path, object_name
from rehouse.s3.bulk.signing import query_string, sign
from rehouse.s3.bulk.throttle import LONGEST_SLEEP_SECONDS, Throttle
from rehouse.s3.faults import Verdict, verdict
from rehouse.s3.objects.answers import read_nothing
from rehouse.s3.objects.lines import Call, Lines
from rehouse.s3.objects.presign import presigned_url
from rehouse.s3.session import Credentials, Session

ATTEMPTS = 4
URL_SECONDS = 60
EXTENDED_SECONDS = 24 * 3600
EXPIRED_FOR_SECONDS = 3600
"""How long ago an expired URL was signed: far beyond any difference of the clocks."""
EMPTY = {"content-length": "0"}
NOTHING: Mapping[str, str] = {}
FIRST_BYTE = {"range": "bytes=0-0"}
LISTINGS = {
    Attack.LIST: [("list-type", "2"), ("max-keys", "1")],
    Attack.LIST_VERSIONS: [("max-keys", "1"), ("versions", "")],
    Attack.LIST_UPLOADS: [("max-uploads", "1"), ("uploads", "")],
}


@dataclass(frozen=True, slots=True)
class Attacker:
    """Who attacks: the credentials of a tenant, and its own bucket."""

    bucket: str
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Victim:
    """Who is attacked: its bucket, an object in it, with its version where it is known, and credentials that may read it.

    Without an object, keys that do not exist are named. `is_shared`: the bucket is a shared one.
    """

    bucket: str
    credentials: Credentials
    key: str | None = None
    version: str | None = None
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """S3's answer: the HTTP status (0: none came) and the error code. `left`: what the request has made, or may have made.

    `is_upload`: what it made is an upload in parts, with `upload_id` if S3 returned it; `is_marker`: it is a delete marker.
    """

    status: int
    code: str | None = None
    message: str = ""
    left: ObjectRef | None = None
    is_upload: bool = False
    is_marker: bool = False
    upload_id: str | None = None

    def __str__(self) -> str:
        """Return status and code, such as `403 AccessDenied`."""
        return f"{self.status} {self.code}" if self.code else str(self.status)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request before it is signed; `target`: what it would make."""

    method: str
    bucket: str
    key: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    target: ObjectRef | None = None


class Attacks:
    """Sends attacks from any thread. `max_rate`: at most so many requests a second; `stop_here` raises if the run is to end."""

    def __init__(
        self, session: Session, buckets: Iterable[str], *, max_rate: float | None, stop_here: Callable[[], None]
    ) -> None:
        self._endpoints = {bucket: session.endpoint(bucket) for bucket in buckets}  # not made for several threads
        self._throttle = Throttle(max_rate, time.monotonic)
        self._stop_here = stop_here
        self._lines = Lines()
        self._counting = threading.Lock()
        self.requests: Counter[str] = Counter()

    def look(self, who: Attacker) -> Answer:
        """List the first key of the attacker's own bucket."""
        return self._send_signed("control", _Request("GET", who.bucket, query=_listing(Attack.LIST)), who.credentials)

    def read_by_url(self, who: Attacker, key: str) -> Answer:
        """Read the first byte of an object of the attacker's own by a presigned URL."""
        request = _Request("GET", who.bucket, key, headers=FIRST_BYTE)
        return self._send_url("control", request, self._url("GET", who, who.bucket, key))

    def send(self, attack: Attack, who: Attacker, victim: Victim) -> Answer:
        """Send an attack and return the answer."""
        if attack in _BY_URL:
            return self._send_by_url(attack, who, victim)
        if attack in _SIGNED_AS:
            return self._send_url(attack, _request_of(_SIGNED_AS[attack], who, victim), "")
        return self._send_signed(attack, _request_of(attack, who, victim), who.credentials)

    def close(self) -> None:
        """Close the connections."""
        self._lines.close()

    def _send_by_url(self, attack: Attack, who: Attacker, victim: Victim) -> Answer:
        key, now = victim.key or random_key(), time.time()
        if attack is Attack.PRESIGNED_PUT:
            target = ObjectRef(victim.bucket, random_key())
            request = _Request("PUT", victim.bucket, target.key, headers=EMPTY, target=target)
            return self._send_url(attack, request, self._url("PUT", who, victim.bucket, target.key))
        if attack is Attack.PRESIGNED_GET:
            query = self._url("GET", who, victim.bucket, key)
        elif attack is Attack.TAMPERED_URL:
            signer = Attacker(victim.bucket, victim.credentials) if victim.is_shared else who
            query = self._url("GET", signer, signer.bucket, random_key())
        else:
            owner = Attacker(victim.bucket, victim.credentials)
            query = self._url("GET", owner, victim.bucket, key, now=now - EXPIRED_FOR_SECONDS)
            if attack is Attack.EXTENDED_URL:
                query = query.replace(f"X-Amz-Expires={URL_SECONDS}&", f"X-Amz-Expires={EXTENDED_SECONDS}&")
        return self._send_url(attack, _Request("GET", victim.bucket, key, headers=FIRST_BYTE), query)

    def _url(self, method: str, who: Attacker, bucket: str, key: str, *, now: float | None = None) -> str:
        """Return the query of a presigned URL."""
        endpoint = self._endpoints[bucket]
        url = presigned_url(
            method, endpoint, endpoint.path + key_path(key), (), NOTHING,
            credentials=who.credentials, now=time.time() if now is None else now, expires=URL_SECONDS,
        )  # fmt: skip
        return url.partition("?")[2]

    def _send_url(self, kind: str, request: _Request, query: str) -> Answer:
        """Send a request without a signature in its headers; `query`: the signature of a URL, if there is one."""
        endpoint = self._endpoints[request.bucket]
        path = endpoint.path + (key_path(request.key) if request.key else "")
        lines = [f"{name}: {value}" for name, value in {"host": endpoint.host, **request.headers}.items()]
        return self._exchange(kind, request, (path, query or query_string(request.query)), lambda: lines)

    def _send_signed(self, kind: str, request: _Request, credentials: Credentials) -> Answer:
        endpoint, query = self._endpoints[request.bucket], query_string(request.query)
        path = endpoint.path + (key_path(request.key) if request.key else "")

        def sign_lines() -> list[str]:
            return sign(
                request.method, endpoint.host, path, query, request.headers,
                credentials=credentials, region=endpoint.region, service=endpoint.service, now=time.time(),
            )  # fmt: skip

        return self._exchange(kind, request, (path, query), sign_lines)

    def _exchange(
        self, kind: str, request: _Request, where: tuple[str, str], sign_lines: Callable[[], list[str]]
    ) -> Answer:
        """Send a request until the answer is final, at most ATTEMPTS times; `where`: path and query."""
        endpoint, (path, query) = self._endpoints[request.bucket], where
        subject = object_name(ObjectRef(request.bucket, request.key or ""))
        attempt = 0
        while True:
            attempt += 1
            self._wait(kind)
            call = Call(kind, request.method, endpoint, path, query, {}, subject, read_nothing, traffic=None)
            reply = self._carry(call, sign_lines())
            answer = _answer_of(reply, request)
            self._throttle.learn(1, overloaded=reply.status == 503)
            is_passing = answer.code is not None and verdict(answer.code, reply.status, reply.errno) is Verdict.RETRY
            if not is_passing or attempt == ATTEMPTS:
                return answer
            time.sleep(delay_seconds(attempt, chance.random(), reply.retry_after()))  # noqa: S311 (a back-off)

    def _carry(self, call: Call[bool], lines: list[str]) -> Reply:
        line = self._lines.take(call.endpoint.origin)
        try:
            handle = line.begin(call, lines, is_stream=False)
            until = time.monotonic() + SECONDS
            while not line.more(LONGEST_SLEEP_SECONDS) and time.monotonic() < until:
                pass
            body = b"".join(handle.chunks)
            reply = line.finish((28, "no answer came"))
        except BaseException:
            line.close()
            raise
        self._lines.give_back(call.endpoint.origin, line)
        reply.body = body
        return reply

    def _wait(self, kind: str) -> None:
        """Wait until another request may start."""
        self._stop_here()
        while not self._throttle.take(1):
            time.sleep(min(self._throttle.wait_seconds(), LONGEST_SLEEP_SECONDS))
            self._stop_here()
        with self._counting:
            self.requests[kind] += 1


_BY_URL = frozenset(
    {Attack.PRESIGNED_GET, Attack.PRESIGNED_PUT, Attack.TAMPERED_URL, Attack.EXTENDED_URL, Attack.EXPIRED_URL}
)


_SIGNED_AS = {
    Attack.UNSIGNED_GET: Attack.GET,
    Attack.UNSIGNED_LIST: Attack.LIST,
    Attack.UNSIGNED_PUT: Attack.PUT,
}
"""Which signed attack an unsigned one is like."""


def random_key() -> str:
    """Return a key below `temp/` that no object has."""
    return f"temp/rehouse-isolation-{secrets.token_hex(16)}"


def _listing(attack: Attack) -> tuple[tuple[str, str], ...]:
    return tuple(LISTINGS[attack])


def _request_of(attack: Attack, who: Attacker, victim: Victim) -> _Request:
    """Return the request of an attack that is signed in its headers."""
    if attack in LISTINGS:
        return _Request("GET", victim.bucket, query=_listing(attack))
    if attack in {Attack.GET, Attack.GET_VERSION}:
        version = (("versionId", victim.version or ""),) if attack is Attack.GET_VERSION else ()
        return _Request("GET", victim.bucket, victim.key, version, FIRST_BYTE)
    if attack is Attack.COPY:
        target = ObjectRef(who.bucket, random_key())
        source = copy_source(ObjectRef(victim.bucket, victim.key or ""))
        headers = {**EMPTY, "x-amz-copy-source": source}
        return _Request("PUT", target.bucket, target.key, headers=headers, target=target)
    target = ObjectRef(victim.bucket, random_key())
    if attack is Attack.MULTIPART:
        return _Request("POST", target.bucket, target.key, (("uploads", ""),), EMPTY, target)
    if attack is Attack.PUT:
        return _Request("PUT", target.bucket, target.key, headers=EMPTY, target=target)
    assert attack is Attack.DELETE
    return _Request("DELETE", target.bucket, target.key, target=target)


def _answer_of(reply: Reply, request: _Request) -> Answer:
    """Return what S3 answered. A copy may fail with status 200 and an error in the body."""
    is_good = not reply.errno and 200 <= reply.status < 300 and b"<Error>" not in reply.body[:1000]
    if not is_good:
        fault = reply.fault()
        is_in_doubt = request.method != "DELETE" and bool(reply.errno or reply.status >= 500)
        left = request.target if is_in_doubt else None
        status = 0 if reply.errno else reply.status
        return Answer(status, fault.code, fault.message, left, is_upload=left is not None and request.method == "POST")
    if request.target is None:
        return Answer(reply.status)
    version = reply.headers().get("x-amz-version-id")
    if request.method == "DELETE" and version is None:
        return Answer(reply.status)
    left = ObjectRef(request.target.bucket, request.target.key, version)
    if request.method == "POST":
        bare = ObjectRef(left.bucket, left.key)
        return Answer(reply.status, left=bare, is_upload=True, upload_id=read_upload(reply))
    return Answer(reply.status, left=left, is_marker=request.method == "DELETE")
