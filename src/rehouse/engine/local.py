"""Run copies in this process: most through the bulk plane, large objects in parts by a few threads beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import Event
from typing import TYPE_CHECKING

from rehouse.core.errors import Interrupted
from rehouse.core.model import CopyOutcome, CopyTask
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.bulk.multipart import copy_multipart

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGE_AT_ONCE = 2


class LocalEngine:
    """The copy engine of one process.

    Objects larger than `multipart_threshold_bytes` are copied in parts of `multipart_part_bytes`.
    """

    def __init__(
        self,
        bulk: BulkPlane,
        client: S3Client,
        *,
        multipart_threshold_bytes: int,
        multipart_part_bytes: int,
        owner: str | None,
    ) -> None:
        self._bulk = bulk
        self._client = client
        self._threshold_bytes = multipart_threshold_bytes
        self._part_bytes = multipart_part_bytes
        self._owner = owner

    def copy(self, tasks: Iterable[CopyTask]) -> Iterator[CopyOutcome]:
        """Copy the objects.

        Yield an outcome for each task, in any order. Raises as BulkPlane.copy does. After an interruption a task may have no
        outcome, because it was not started or its upload was aborted.
        """
        large: deque[Future[CopyOutcome]] = deque()
        abandoned = Event()
        with ThreadPoolExecutor(LARGE_AT_ONCE, thread_name_prefix="large") as pool:

            def submit(task: CopyTask) -> None:
                large.append(pool.submit(self._copy_large, task, abandoned))

            try:
                for outcome in self._bulk.copy(self._split_large(tasks, submit)):
                    yield outcome
                    while large and large[0].done():
                        yield from self._collect_outcomes([large.popleft()])
                yield from self._collect_outcomes(as_completed(large))
            finally:
                abandoned.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _split_large(self, tasks: Iterable[CopyTask], submit: Callable[[CopyTask], None]) -> Iterator[CopyTask]:
        for task in tasks:
            if task.size > self._threshold_bytes:
                submit(task)
            else:
                yield task

    def _copy_large(self, task: CopyTask, abandoned: Event) -> CopyOutcome:
        def is_interrupted() -> bool:
            return abandoned.is_set() or self._bulk.is_interrupted

        if is_interrupted():
            raise Interrupted(f"s3://{task.target.bucket}/{task.target.key}", hint="run the same command again")
        return copy_multipart(
            self._client,
            self._bulk,
            task,
            part_bytes=self._part_bytes,
            owner=self._owner,
            interrupted=is_interrupted,
        )

    @staticmethod
    def _collect_outcomes(futures: Iterable[Future[CopyOutcome]]) -> Iterator[CopyOutcome]:
        for future in futures:
            try:
                yield future.result()
            except Interrupted:
                continue
