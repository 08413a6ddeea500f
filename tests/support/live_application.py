"""The model application as a process: people who read and write documents, until its standard input is closed.

What it is told comes as JSON in its only argument. For each line on its standard input it says what it has seen so far; at
the end it prints everything. It judges every read itself: the right document and tenant, in the committed version or a newer one.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
import traceback
from collections import Counter
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any

from tests.support.live_writers import Notes, Person, Row, Told

PAUSES = {
    "read": 0.0,
    "hold": 0.005,
    "overwrite": 0.02,
    "replace": 0.05,
    "upload": 0.1,
    "upload_pending": 0.0,
    "rename": 0.15,
    "give": 0.15,
    "delete": 0.05,
    "write_late": 0.0,
    "upload_presigned": 0.0,
}
HELD = 60

_ending = threading.Event()


class Reader(Person):
    """Somebody who downloads documents, and follows where the late ones come to light."""

    def __init__(self, seed: int, told: Told) -> None:
        super().__init__(seed, told)
        self._waiting: list[tuple[float, Row]] = []
        self._links: dict[tuple[str, str], str] = {}
        self._line = HTTPConnection(os.environ["AWS_ENDPOINT_URL_S3"].removeprefix("http://"), timeout=30)

    def read(self) -> None:
        """Read a document as a download does."""
        row = self.row(self.some())
        if row:
            self.get(row)

    def hold(self) -> None:
        """Read pointers now and use them later, within the grace."""
        row = self.row(self.some())
        now = time.monotonic()
        if row and len(self._waiting) < HELD:
            self._waiting.append((now + self.chance.uniform(0, self.told.grace_seconds * 0.98), row))
        due = [row for when, row in self._waiting if when <= now]
        self._waiting = [each for each in self._waiting if each[0] > now]
        for each in due:
            if self.is_usable(each.read_at):
                self.get(each)
                self.notes.seen["reads by an old pointer"] += 1

    def download(self, bucket: str, key: str) -> bytes:
        """Return an object's bytes, over a connection that stays open: most of what boto3 does for a GET is its own."""
        place = (bucket, key)
        if place not in self._links:
            link = self.s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
            self._links[place] = link.removeprefix(os.environ["AWS_ENDPOINT_URL_S3"])
        self._line.request("GET", self._links[place])
        answer = self._line.getresponse()
        data = answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{answer.status} {data[:300]!r}")
        return data

    def get(self, row: Row) -> None:
        """Download, and judge what came; a row whose upload is under way has nothing yet."""
        if not row.version:
            return
        try:
            found = self.download(row.bucket, row.key).split(b"\n", 4)
        except Exception as error:
            if time.monotonic() - row.read_at > self.told.limit_seconds:
                self.notes.seen["too late to judge"] += 1
                return
            raise RuntimeError(f"{row} cannot be read: {error}") from error
        document_id, version, slug, token = (part.decode() for part in found[:4])
        is_late = row.document_id in self._ids[True]
        if (document_id, slug) != (row.document_id, row.slug):
            self.notes.wrong.append(f"mixed up: {row} holds {document_id} of {slug}")
        elif int(version) < row.version and not is_late:
            self.notes.wrong.append(f"stale: {row} holds version {version}")
            self.notes.seen["stale"] += 1
        if is_late:
            self.notes.first_seen.setdefault(token, time.monotonic())
        self.notes.seen["reads"] += 1
        self.notes.seen["reads at home"] += row.bucket != self.told.shared


def work(person: Person, deed: str) -> None:
    """Do one thing again and again; whatever fails is written down."""
    while not _ending.wait(PAUSES[deed]):
        try:
            getattr(person, deed)()
        except Exception:  # noqa: BLE001 - the model judges every failure, whatever it is
            person.notes.seen[f"failed: {deed}"] += 1
            person.notes.wrong.append(f"{deed}: {traceback.format_exc(limit=-2)}")


def merged(notes: list[Notes]) -> dict[str, Any]:
    """Return what everybody saw together."""
    whole = Notes()
    for each in notes:
        whole.seen += Counter(each.seen)
        whole.wrong += each.wrong[:20]
        whole.journal += each.journal
        for token, at in each.first_seen.items():
            whole.first_seen[token] = min(at, whole.first_seen.get(token, at))
    return whole.said()


def main() -> None:
    """Run until standard input is closed."""
    told = Told(**json.loads(sys.argv[1]))
    seeds = itertools.count(told.seed)
    crew = [(Reader(next(seeds), told), deed) for deed, count in told.roles.items() for _ in range(count)]
    threads = [threading.Thread(target=work, args=each) for each in crew]
    for thread in threads:
        thread.start()
    print("working", flush=True)
    notes = [person.notes for person, _ in crew]
    for _ in sys.stdin:
        print(json.dumps(dict(sum((Counter(each.seen) for each in notes), Counter()))), flush=True)
    _ending.set()
    for thread in threads:
        thread.join()
    print(json.dumps(merged(notes)))


if __name__ == "__main__":
    main()
