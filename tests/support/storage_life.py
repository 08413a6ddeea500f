"""A life under TenantStorage: processes that use nothing else, commands that are killed at random, and what is true in the end.

What is said about the end is read from the rows, the buckets and the journals of the threads, by nothing of ours.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.data_room import Room
from tests.support.storage_workers import Told, Truth, read_journals
from tests.support.warm_process import Ended

SLUGS = ("blue", "green")
ROOT = Path(__file__).parents[2]
PATIENCE = 6
"""How often a command is repeated that leaves something for its next run."""
GRACE_SECONDS = 3


@dataclass
class StorageLife:
    """Two tenants in a room, and the processes of their application."""

    room: Room
    folder: Path
    processes: int
    threads: int
    seed: int = 1
    crew: list[subprocess.Popen[str]] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        for tenant_id, slug in enumerate(SLUGS, start=1):
            self.room.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", tenant_id, slug, slug)

    @cached_property
    def root(self) -> Any:
        """A client that may do everything."""
        return self.room.root

    @property
    def environment(self) -> dict[str, str]:
        """What commands and the application are told."""
        grace = {
            "REHOUSE_GRACE_DAYS": str(GRACE_SECONDS / 86400),
            "REHOUSE_BATCH_SIZE": "10",
            "REHOUSE_MAX_RATE": "150",
        }
        return self.room.environment() | grace | {"REHOUSE_DOWNLOAD_URL_SECONDS": "30"}

    def start(self, number: int) -> subprocess.Popen[str]:
        """Start a process of the application; it goes on where its threads' journals end."""
        told = Told([*SLUGS], number, self.threads, self.seed, str(self.folder))
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.storage_workers", json.dumps(asdict(told))],
            env=self.environment | {"PYTHONPATH": str(ROOT)}, cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout
        assert process.stdout.readline().strip() == "working"
        return process

    @contextmanager
    def application(self) -> Iterator[None]:
        """Run the application meanwhile."""
        try:
            self.crew = [self.start(number) for number in range(self.processes)]
            yield
            for process in self.crew:
                process.communicate(timeout=180)
                assert process.returncode == 0
        finally:
            for process in self.crew:
                process.kill()
                process.wait()

    def kill_a_process(self) -> None:
        """Kill a process of the application without a word, and start it again."""
        number = self.chance.randrange(self.processes)
        self.crew[number].kill()
        self.crew[number].communicate()
        self.killed["application"] += 1
        self.crew[number] = self.start(number)

    def run(self, *arguments: str) -> Ended:
        """Run a command to its end; the first tries are killed at random, with a process of the application."""
        for _ in range(2):
            ended = self._run(*arguments, seconds=self.chance.uniform(0.2, 2.5))
            self.killed["commands"] += ended.status < 0
            self.kill_a_process()
        return self.finally_run(*arguments)

    def finally_run(self, *arguments: str) -> Ended:
        """Run a command until it leaves nothing for its next run."""
        for _ in range(PATIENCE):
            ended = self._run(*arguments)
            if ended.status == 0:
                break
        return ended

    def _run(self, *arguments: str, seconds: float | None = None) -> Ended:
        def begun(pid: int) -> None:
            if seconds is not None:
                timer = threading.Timer(seconds, _kill, [pid])
                timer.daemon = True
                timer.start()

        ended = self.room.warm.run(*arguments, environment=self.environment, begun=begun)
        self.said.append(f"{' '.join(arguments)}: {ended.status}")
        assert ended.status in ({0, 1, 3} | ({-signal.SIGKILL} if seconds is not None else set())), (arguments, ended)
        assert "Traceback" not in ended.printed, ended.printed
        return ended

    def journals(self) -> tuple[dict[str, Truth], list[str], Counter[str]]:
        """Return what every document may hold, what went wrong, and how often each deed was done."""
        truths, wrong, done = read_journals(self.folder)
        return {name: truth for mine in truths.values() for name, truth in mine.items()}, wrong, done

    def rows(self) -> dict[str, tuple[str, str | None, str | None]]:
        """Return document → slug, bucket and key."""
        query = "SELECT d.id, t.slug, d.s3_bucket, d.s3_key FROM documents d JOIN tenants t ON t.id = d.tenant_id"
        return {row[0]: tuple(row[1:]) for row in self.room.rows(query)}

    def differences(self) -> list[str]:
        """Return where rows and objects are not what the journals say; empty is well."""
        truths, _, _ = self.journals()
        wrong = []
        for document_id, (_, bucket, key) in self.rows().items():
            held = None if key is None else self._token(bucket or self.room.shared, key)
            if held not in truths[document_id].now:
                wrong.append(
                    f"{document_id} holds {held}, the journal says {sorted(map(str, truths[document_id].now))}"
                )
        return wrong + [f"{document_id}: its row is gone" for document_id in truths.keys() - self.rows().keys()]

    def unreferenced(self, bucket: str) -> list[str]:
        """Return the current objects of a bucket to which no row points."""
        pointed = {key for _, where, key in self.rows().values() if (where or self.room.shared) == bucket}
        pages = self.root.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", []) if each["Key"] not in pointed]

    def _token(self, bucket: str, key: str) -> str:
        try:
            body = self.root.get_object(Bucket=bucket, Key=key)["Body"].read()
        except self.root.exceptions.NoSuchKey:
            return f"a missing object: {bucket}/{key}"
        return str(body.partition(b"\n")[0].decode())


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
