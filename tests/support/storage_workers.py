"""An application that uses nothing but TenantStorage, as a process: threads that write and read documents until it is told to end.

Each thread owns its documents: nobody else writes them. It keeps a journal on disk, a line before and after each deed, so that
a process that was killed leaves behind what it had begun. What a document may hold is a set of tokens; None stands for no file.
The next process goes on from the journal.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
import traceback
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg

from rehouse import TenantStorage
from rehouse.core.errors import NoSuchDocument

MOST_DOCUMENTS = 8
"""How many documents a thread has at once."""
DEEDS = {"upload": 3, "upload_directly": 2, "overwrite": 5, "delete": 2, "copy": 2, "give_up": 1, "read_own": 8, "read_other": 8,
         "download": 3, "look": 1}  # fmt: skip
_ending = threading.Event()


@dataclass(frozen=True)
class Told:
    """What a process is told. `slugs` are the tenants; each thread works for all of them."""

    slugs: list[str]
    number: int
    threads: int
    seed: int
    folder: str
    pause_seconds: float = 0.0


@dataclass
class Truth:
    """What a document may hold, at each moment since it was made: the last set is what holds now."""

    slug: str
    history: list[frozenset[str | None]] = field(default_factory=lambda: [frozenset({None})])

    @property
    def now(self) -> frozenset[str | None]:
        """What it may hold now."""
        return self.history[-1]

    def since(self, moment: int) -> frozenset[str | None]:
        """Return what it may have held since a moment, which is a place in the history."""
        return frozenset().union(*self.history[moment:])


Truths = dict[str, Truth]


def read_journals(folder: Path) -> tuple[dict[str, Truths], list[str], Counter[str]]:
    """Return thread → what its documents may hold, what went wrong, and how often each deed was done."""
    truths: dict[str, Truths] = {}
    wrong: list[str] = []
    done: Counter[str] = Counter()
    for path in sorted(folder.glob("*.jsonl")):
        mine = truths.setdefault(path.stem, {})
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                note = json.loads(line)
            except ValueError:  # the process was killed while it wrote its last line
                continue
            if "wrong" in note:
                wrong.append(note["wrong"])
            elif "done" in note:
                done[note["done"]] += 1
            else:
                truth = mine.setdefault(note["document"], Truth(note["slug"]))
                truth.history.append(frozenset(note["may_hold"]))
    return truths, wrong, done


class Worker:
    """A thread of the application, with the documents that it owns."""

    def __init__(self, told: Told, number: int, storage: TenantStorage, everybody: dict[str, Truth]) -> None:
        self.name = f"{told.number}-{number}"
        self.chance = random.Random(f"{told.seed} {self.name} {time.time_ns()}")
        self.told, self.storage, self.everybody = told, storage, everybody
        self.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        self.file = (Path(told.folder) / f"{self.name}.jsonl").open("a", encoding="utf-8", buffering=1)
        self.mine: Truths = read_journals(Path(told.folder))[0].get(self.name, {})
        self.everybody |= self.mine
        self.made = len(self.mine)
        for document_id, truth in self.mine.items():  # the process before may have been killed between journal and row
            self._insert(document_id, truth.slug)

    def note(self, **what: Any) -> None:
        """Write a line into the journal; a kill afterwards loses nothing of it."""
        self.file.write(json.dumps(what) + "\n")

    def may_hold(self, document_id: str, *tokens: str | None) -> None:
        """Record what a document may hold from now on."""
        truth = self.mine[document_id]
        self.note(document=document_id, slug=truth.slug, may_hold=list(tokens))
        truth.history.append(frozenset(tokens))

    @contextmanager
    def writing(self, document_id: str, token: str | None) -> Iterator[None]:
        """Write: until it is done the document may hold what it held, or the new content."""
        before = self.mine[document_id].now
        self.may_hold(document_id, *before, token)
        yield
        self.may_hold(document_id, token)

    def own(self, *, holding: bool) -> str | None:
        """Return one of the thread's documents that certainly has a file, or certainly has none; None if there is none."""
        wanted = [
            name for name, truth in self.mine.items() if len(truth.now) == 1 and (None not in truth.now) == holding
        ]
        return self.chance.choice(wanted) if wanted else None

    def new(self, slug: str) -> str:
        """Make the row of a new document."""
        self.made += 1
        document_id = f"{slug}-{self.name}-{self.made}"
        self.mine[document_id] = self.everybody[document_id] = Truth(slug)
        self.may_hold(document_id, None)
        self._insert(document_id, slug)
        return document_id

    def _insert(self, document_id: str, slug: str) -> None:
        self.connection.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, size) "
            "SELECT %s, id, %s, 'f', 0 FROM tenants WHERE slug = %s ON CONFLICT (id) DO NOTHING",
            (document_id, f"{document_id}.txt", slug),
        )

    def content(self, document_id: str) -> tuple[str, bytes]:
        """Return a new token and the body that has it."""
        token = f"{document_id}/{self.chance.getrandbits(64):x}"
        return token, f"{token}\n".encode() + b"." * self.chance.randrange(2000)

    def room(self) -> bool:
        """Return whether the thread may have one more document with a file."""
        return sum(1 for truth in self.mine.values() if truth.now != {None}) < MOST_DOCUMENTS

    def upload(self) -> None:
        """Insert a row, then upload; sometimes again into a row that was emptied."""
        if not self.room():
            return
        document_id = (self.chance.random() < 0.3 and self.own(holding=False)) or self.new(
            self.chance.choice(self.told.slugs)
        )
        self._store(document_id)

    def overwrite(self) -> None:
        """Upload a new content for a document; sometimes inside a transaction of the application."""
        document_id = self.own(holding=True)
        if document_id is None:
            return
        if self.chance.random() < 0.3:
            with self.writing(document_id, (made := self.content(document_id))[0]), self.connection.transaction():
                self._handle(document_id, self.connection).upload(document_id, "a.txt", BytesIO(made[1]), "text/plain")
        else:
            self._store(document_id)

    def give_up(self) -> None:
        """Upload inside a transaction that is rolled back: nothing may change."""
        document_id = self.own(holding=True)
        if document_id is None:
            return
        _, body = self.content(document_id)
        with self.connection.transaction(force_rollback=True):
            self._handle(document_id, self.connection).upload(document_id, "a.txt", BytesIO(body), "text/plain")

    def upload_directly(self) -> None:
        """Upload as a browser does: a grant, a PUT without credentials, and the confirmation."""
        document_id = self.own(holding=True)
        if document_id is None:
            return
        token, body = self.content(document_id)
        grant = self._handle(document_id).create_upload(document_id, "b.txt", len(body), "text/plain")
        assert grant.url
        request = urllib.request.Request(grant.url, data=body, method=grant.method, headers=dict(grant.headers))
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
        with self.writing(document_id, token):
            self._handle(document_id).confirm_upload(grant)

    def delete(self) -> None:
        """Delete a document's file."""
        document_id = self.own(holding=True)
        if document_id is None:
            return
        with self.writing(document_id, None):
            self._handle(document_id).delete(document_id)

    def copy(self) -> None:
        """Copy a document to another tenant."""
        document_id = self.own(holding=True)
        if document_id is None or not self.room():
            return
        [token] = self.mine[document_id].now
        other = self.new(self.chance.choice([slug for slug in self.told.slugs if slug != self.mine[document_id].slug]))
        with self.writing(other, token):
            self._handle(document_id).copy_to(self._handle(other), document_id, other)

    def read_own(self) -> None:
        """Read a document that nobody writes meanwhile: it holds exactly what it must."""
        if self.mine:
            self._read(self.chance.choice([*self.mine]), self._open)

    def read_other(self) -> None:
        """Read a document that its owner may be writing."""
        if self.everybody:
            self._read(self.chance.choice([*self.everybody]), self._open)

    def download(self) -> None:
        """Download one by a presigned URL."""
        document_id = self.own(holding=True)
        if document_id is not None:
            self._read(document_id, self._download)

    def look(self) -> None:
        """List a tenant's documents and look at its usage."""
        handle = self.storage.for_tenant(self.chance.choice(self.told.slugs))
        listed, after = set(), None
        while page := handle.list(after=after, limit=200):
            listed |= {each.document_id for each in page}
            after = page[-1].document_id
        here = {name for name, truth in self.mine.items() if truth.slug == handle.slug}
        assert here <= listed, f"not listed: {sorted(here - listed)[:5]}"
        assert handle.usage().documents >= len(here)

    def _store(self, document_id: str) -> None:
        token, body = self.content(document_id)
        with self.writing(document_id, token):
            self._handle(document_id).upload(document_id, "a.txt", BytesIO(body), "text/plain")

    def _handle(self, document_id: str, connection: psycopg.Connection | None = None) -> Any:
        return self.storage.for_tenant(document_id.partition("-")[0], connection)

    def _open(self, document_id: str) -> bytes:
        with self._handle(document_id).open(document_id) as file:
            return bytes(file.read())

    def _download(self, document_id: str) -> bytes:
        with urllib.request.urlopen(self._handle(document_id).download_url(document_id), timeout=60) as answer:
            return bytes(answer.read())

    def _read(self, document_id: str, read: Callable[[str], bytes]) -> None:
        truth = self.everybody[document_id]
        moment = len(truth.history) - 1
        try:
            found: str | None = read(document_id).partition(b"\n")[0].decode()
        except NoSuchDocument:
            found = None
        allowed = truth.since(moment)
        assert found in allowed, f"{document_id} holds {found}, allowed: {sorted(map(str, allowed))}"
        if document_id in self.mine and len(truth.now) > 1:
            self.may_hold(document_id, found)

    def work(self) -> None:
        """Do one thing after another; whatever fails is written down."""
        deeds, weights = [*DEEDS], [*DEEDS.values()]
        while not _ending.wait(self.told.pause_seconds):
            deed = self.chance.choices(deeds, weights)[0]
            try:
                getattr(self, deed)()
            except Exception:  # noqa: BLE001 - every failure is a finding, whatever it is
                self.note(wrong=f"{self.name} {deed}: {traceback.format_exc(limit=-6)}")
            else:
                self.note(done=deed)


def main() -> None:
    """Run until standard input is closed."""
    told = Told(**json.loads(sys.argv[1]))
    everybody: dict[str, Truth] = defaultdict()
    with TenantStorage.open() as storage:
        crew = [Worker(told, number, storage, everybody) for number in range(told.threads)]
        threads = [threading.Thread(target=worker.work) for worker in crew]
        for thread in threads:
            thread.start()
        print("working", flush=True)
        sys.stdin.read()
        _ending.set()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
