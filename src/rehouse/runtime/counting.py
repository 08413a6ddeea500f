"""Report each call of the storage to the application's hook `on_call`: what it sent to S3, and whether it failed."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ClassVar, Concatenate, ParamSpec, TypeVar

from rehouse.core.model import TenantId
from rehouse.runtime.reading import DocumentFile
from rehouse.runtime.scope import Scope
from rehouse.runtime.values import CallRecord
from rehouse.s3.objects.traffic import Traffic, count_traffic

log = logging.getLogger(__name__)

C = TypeVar("C", bound="CountedCalls")
P = ParamSpec("P")
R = TypeVar("R")


class CountedCalls:
    """The base of what has counted methods. `KINDS` stands before their names in the records."""

    __slots__ = ("_scope", "tenant_id")
    KINDS: ClassVar[str] = ""

    def __init__(self, scope: Scope, tenant_id: TenantId) -> None:
        self._scope, self.tenant_id = scope, tenant_id

    def _count_file(
        self, kind: str, open_file: Callable[[Callable[[Traffic, bool], None] | None], DocumentFile]
    ) -> DocumentFile:
        """Open a file whose reads are reported when it is closed."""
        if self._scope.storage.on_call is None:
            return open_file(None)
        try:
            return open_file(lambda traffic, failed: self._report(kind, traffic, failed=failed))
        except BaseException:
            self._report(kind, Traffic(), failed=True)
            raise

    def _report(self, kind: str, traffic: Traffic, *, failed: bool) -> None:
        hook = self._scope.storage.on_call
        if hook is None:
            return
        kind = self.KINDS + kind
        record = CallRecord(self.tenant_id, kind, traffic.requests, traffic.bytes_in, traffic.bytes_out, failed)
        try:
            hook(record)
        except Exception:  # the hook is the application's: its failure must not become one of the call
            log.exception("on_call failed for a call of %s", kind)


def count_call(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
    """Report each call of a method to the application's hook, if there is one."""

    def call(self: C, /, *arguments: P.args, **options: P.kwargs) -> R:
        if self._scope.storage.on_call is None:
            return method(self, *arguments, **options)
        with count_traffic() as traffic:
            try:
                result = method(self, *arguments, **options)
            except BaseException:
                self._report(method.__name__, traffic, failed=True)
                raise
        self._report(method.__name__, traffic, failed=False)
        return result

    return functools.update_wrapper(call, method)
