"""`python -m bench.clients.copying bulk|engine`: copy N objects with rehouse. Where to: the environment, as for `rehouse`.

`bulk` is BulkPlane.copy alone: tasks are built, outcomes counted. `engine` goes through LocalEngine in one stream
as an operation does, decides each document first and turns each outcome into the line that the ledger is told.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from bench.stub.storage import SHARED, TARGET, shared_key, shared_object
from rehouse import config
from rehouse.cli.process import collect_seldom
from rehouse.core.copies import Places, SurveyedDocument, decide
from rehouse.core.model import CopyOutcome, CopyTask, Document, ListedObject, ObjectRef
from rehouse.engine.local import LocalEngine
from rehouse.ledger.copies import Line, line_of
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.session import Session

OWNER = "000000000000"
OLD = datetime(2025, 1, 1, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.clients.copying")
    parser.add_argument("through", choices=["bulk", "engine"])
    parser.add_argument("--objects", type=int, required=True)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument(
        "--at-full-speed", action="store_true", help="begin at the highest rate: the limiter works, unfelt"
    )
    parser.add_argument(
        "--tenants", type=int, default=1, help="spread the copies over so many buckets, one after another"
    )
    parser.add_argument("--etag", help="the ETag of every source; else the stateful stub's")
    options = parser.parse_args()
    settings = config.load()
    session = Session(settings)
    collect_seldom()  # as every command does
    if options.at_full_speed:
        begin_fast()
    bulk = BulkPlane(session, max_in_flight=options.in_flight, max_rate=None, owner=OWNER)
    copy = partial(copied_in_bulk, tenants=options.tenants) if options.through == "bulk" else copied_through_engine
    found: Counter[str] = Counter()
    began, cpu = time.monotonic(), time.process_time()
    for outcome in copy(session, bulk, options.objects, options.etag):
        found[outcome.fault.code if outcome.fault else "copied"] += 1
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    bulk.close()
    print(json.dumps({"found": found, "requests": bulk.requests, "seconds": seconds, "cpu_seconds": cpu}))
    if found["copied"] != options.objects:
        raise SystemExit(1)


def begin_fast() -> None:
    """Let the limiter begin where it would be after some seconds of work: it counts on every request as ever."""
    from rehouse.core import pacing  # noqa: PLC0415 - only where the measurement needs it

    pacing.START_RATE = 1_000_000.0  # type: ignore[misc]


def copied_in_bulk(
    session: Session, bulk: BulkPlane, objects: int, etag: str | None, *, tenants: int = 1
) -> Iterator[CopyOutcome]:
    """Copy with the bulk plane alone."""
    homes = [TARGET] if tenants == 1 else [f"{TARGET}-{number}" for number in range(tenants)]

    def task(number: int) -> CopyTask:
        key, home = shared_key(number), homes[number * tenants // objects]
        target = ObjectRef(home, key)
        return CopyTask(str(number), ObjectRef(SHARED, key), source_etag(number, etag), 1000, "STANDARD", target)

    return bulk.copy(map(task, range(objects)))


def copied_through_engine(session: Session, bulk: BulkPlane, objects: int, etag: str | None) -> Iterator[CopyOutcome]:
    """Copy as `operations/copy.py` does: one stream of decided pages, outcomes turned into the ledger's lines."""
    settings = session.settings
    engine = LocalEngine(
        bulk,
        session.client("s3"),
        multipart_threshold_bytes=settings.multipart_threshold_bytes,
        multipart_part_bytes=settings.multipart_part_bytes,
        owner=OWNER,
    )
    places = Places((SHARED,), TARGET)

    def tasks() -> Iterator[CopyTask]:
        numbers = iter(range(objects))
        while page := [seen(number, etag) for number in islice(numbers, settings.batch_size)]:
            now = datetime.now(UTC)
            decisions = [decide(each, places, now=now, upload_window=timedelta(hours=1)) for each in page]
            yield from [decision.task for decision in decisions if decision.task]

    lines: list[Line] = []
    for outcome in engine.copy(tasks()):
        lines.append(line_of(outcome))
        if len(lines) == settings.batch_size:  # the ledger's thread would write them now
            lines = []
        yield outcome


def seen(number: int, etag: str | None) -> SurveyedDocument:
    """Return a document as the database and the listing show it."""
    key, found_etag = shared_key(number), source_etag(number, etag)
    document = Document(
        f"{number:08x}-0000-7000-8000-000000000000", 1, f"Contract {number}.pdf", SHARED, key, found_etag, OLD
    )
    return SurveyedDocument(document, ListedObject(key, found_etag, 1000, "STANDARD", OLD))


def source_etag(number: int, etag: str | None) -> str:
    """Return the ETag of the source `number`: one for all, or the stateful stub's (an MD5 each)."""
    return etag or shared_object(number).etag


if __name__ == "__main__":
    main()
