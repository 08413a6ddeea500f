"""The ETags of S3 under a KMS key, which no local server has: 32 hex digits that are no MD5, laid on a relay.

Objects outside the shared bucket have them, in every answer; a condition that names one means the object behind it. Such a
request goes on as root's, for its headers are not those that were signed. Source: "Object", the S3 API Reference.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import md5

from tests.support.http_relay import Reply, Request
from tests.support.strict_relay import StrictRelay

ETAG = re.compile(r"[0-9a-f]{32}")


class KmsEtags:
    """The rule, laid on a relay."""

    def __init__(self, relay: StrictRelay, shared: str) -> None:
        self._relay, self._shared = relay, shared
        self._true: dict[str, str] = {}
        self._true_etag = relay.etag
        relay.etag = self._etag  # type: ignore[method-assign]
        relay.rules.append(self._asked)
        relay.endings.append(self._told)

    def shown(self, etag: str) -> str:
        """Return the ETag under a KMS key of an object with this MD5."""
        return ETAG.sub(self._disguised, etag)

    def ask(self, request: Request) -> Reply:
        """Ask the server as root, with the ETags that it has; return its answer with those it would have."""
        head, body = (self._unmasked(part.decode("latin-1")) for part in (request.head, request.body))
        as_root = re.sub(r"Credential=[^/]+/", "Credential=test/", head)
        return self._told(request, self._relay.ask(Request(as_root.encode("latin-1"), body.encode("latin-1"))))

    def _disguised(self, found: re.Match[str]) -> str:
        shown = md5(f"kms {found[0]}".encode(), usedforsecurity=False).hexdigest()
        self._true[shown] = found[0]
        return shown

    def _etag(self, bucket: str, key: str, version: str | None = None) -> str | None:
        true = self._true_etag(bucket, key, version)
        return true if true is None or bucket == self._shared else self.shown(true)

    def _asked(self, request: Request) -> Reply | None:
        named = ETAG.findall((request.head + request.body).decode("latin-1"))
        return self.ask(request) if any(etag in self._true for etag in named) else None

    def _unmasked(self, text: str) -> str:
        return ETAG.sub(lambda found: self._true.get(found[0], found[0]), text)

    def _told(self, request: Request, reply: Reply) -> Reply:
        if not request.bucket or request.bucket == self._shared:
            return reply
        body = re.sub(r"(?<=<ETag>)[^<]+", lambda found: self.shown(found[0]), reply.body.decode("latin-1"))
        headers = tuple((name, self.shown(value) if name.lower() == "etag" else value) for name, value in reply.headers)
        return replace(reply, body=body.encode("latin-1"), headers=headers)
