"""A life: tenants who move there, back and there again until their sources are gone, while the application goes on working.

The application is processes of its own. Whatever is said about the end is read from the rows and the buckets, by nothing of ours.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.closing_questions import Write
from tests.support.data_room import Room
from tests.support.envelope import result_of
from tests.support.live_writers import UPLOADS, Told, body
from tests.support.warm_process import Ended

SLUGS = ("blue", "green", "red")
GRACE_SECONDS = 1.5
LIMIT_SECONDS = 4.0
"""What the application keeps to, and what `finish` is told; between them is room for a busy machine."""
READERS = {"read": 1, "hold": 1}
WRITERS = {"overwrite": 2, "replace": 1, "upload": 1, "upload_pending": 1, "rename": 1, "give": 1, "delete": 1}
LATE_WRITERS = {"write_late": 6, "upload_presigned": 4}
PATIENCE = 4
"""How often a step is repeated that may leave something for the next run."""
TAKEN = re.compile(r"something else is at (.+) in (\S+)$")
NAMED = re.compile(r"s3://(\S+?)/(\S+?) \(ETag (\w+)\)")
ROOT = Path(__file__).parents[2]


@dataclass
class Life:
    """Three tenants in a room, and what the application and the commands said."""

    room: Room
    documents: int
    late: int = 0
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    sweeps: list[tuple[float, float, str]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    journal: list[Write] = field(default_factory=list)
    first_seen: dict[str, float] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def root(self) -> Any:
        """A client that may do everything; to make one takes longer than what it is asked."""
        return self.room.server.root()

    def lay_out(self) -> None:
        """Documents in version 1, every fourth without a bucket in its row; `late` of each tenant's are written late, too."""
        room = self.room
        rows = []
        for tenant_id, slug in enumerate(SLUGS, start=1):
            room.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", tenant_id, slug, slug)
            rows += [(f"{slug}-{number}", tenant_id, slug, number) for number in range(self.documents // len(SLUGS))]
        for document_id, tenant_id, slug, number in rows:
            data = body(document_id, 1, slug, f"first-{document_id}")
            etag = self.root.put_object(Bucket=room.shared, Key=f"k/{document_id}", Body=data)["ETag"]
            is_late = number < self.late
            room.execute(
                "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, etag, analysis) "
                "VALUES (%s, %s, 'a.txt', 'a.txt', %s, %s, %s, %s, %s)",
                document_id, tenant_id, None if number % 4 == 0 else room.shared, f"k/{document_id}", len(data), etag,
                json.dumps({"version": 1} | ({"late": True} if is_late else {})),
            )  # fmt: skip
            if is_late:
                where = (room.shared, f"k/{document_id}", "first")
                self.journal.append(Write(document_id, f"first-{document_id}", *where, 0, 0, 0))

    @contextmanager
    def application(self, *crews: dict[str, int]) -> Iterator[None]:
        """Run the application meanwhile, a process for each crew; what it saw is there afterwards."""
        room = self.room
        environment = room.environment() | {"PYTHONPATH": str(ROOT)}
        for number, roles in enumerate(crews):
            told = Told(room.shared, list(SLUGS), roles, number * 100, self.documents, GRACE_SECONDS, LIMIT_SECONDS)
            words = [sys.executable, "-m", "tests.support.live_application", json.dumps(asdict(told))]
            pipe = subprocess.PIPE
            self.processes.append(
                subprocess.Popen(words, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
            )
        try:
            assert [_line(process) for process in self.processes] == ["working"] * len(crews)
            yield
            for process in self.processes:
                self._hear(json.loads(process.communicate(timeout=180)[0]))
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
            self.processes.clear()

    def _hear(self, said: dict[str, Any]) -> None:
        self.seen += Counter(said["seen"])
        self.wrong += said["wrong"]
        self.journal += [Write(**each) for each in said["journal"]]
        for token, at in said["first_seen"].items():
            self.first_seen[token] = min(at, self.first_seen.get(token, at))

    def so_far(self) -> Counter[str]:
        """Return what the application has done until now."""
        for process in self.processes:
            assert process.stdin
            print(file=process.stdin, flush=True)
        return sum((Counter(json.loads(_line(process))) for process in self.processes), Counter())

    def run(self, *arguments: str, **more: str) -> Ended:
        """Run the command to its end; it may leave something for the next run, and nothing else may go wrong."""
        slowed = {
            "REHOUSE_GRACE_DAYS": str(LIMIT_SECONDS / 86400),
            "REHOUSE_BATCH_SIZE": "20",
            "REHOUSE_MAX_RATE": "200",
        }
        begin = time.monotonic()
        ended = self.room.warm.run(*arguments, environment=self.room.environment() | slowed | more)
        self.sweeps.append((begin, time.monotonic(), f"{' '.join(arguments)}: {ended.status}"))
        assert ended.status in (0, 1, 3), (arguments, ended)
        assert "Traceback" not in ended.printed, ended.printed
        return ended

    def there_and_back(self) -> None:
        """Everybody moves, goes back, and is swept once more after the grace, so that everything may begin again."""
        self.run("migrate-all")
        self.settle_conflicts()
        self.run("rollback", "--all")
        self.settle_conflicts()
        self.rest()
        self.run("rollback", "--all")
        self.settle_conflicts()

    def in_two_steps(self) -> None:
        """Everybody moves in two steps; what was written at both ends after the way back is settled first."""
        for _ in range(PATIENCE):
            if self.run("migrate-all", "--until", "verified").status == 0:
                break
            self.settle_conflicts()
            self.rest()
        for slug in SLUGS:
            self.run("cutover", slug, "--canary", "3")
        self.settle_conflicts()

    def finish(self) -> None:
        """Remove the sources that are old enough by now."""
        self.rest()
        self.run("finish", "--all", "--yes", "--after", f"{LIMIT_SECONDS:.0f}s")
        self.settle_conflicts()

    def rest(self) -> None:
        """Let the grace pass."""
        time.sleep(LIMIT_SECONDS + 0.2)

    def settle_conflicts(self) -> None:
        """Look at every conflict that is told, hold it to both versions being there, and accept the one at home."""
        if not self.late:
            return
        accepted = defaultdict(list)
        for each in self.errors():
            if each["code"] == "Conflict":
                self._look_at(each)
                accepted[each["slug"]].append(each["document_id"])
        for slug, ids in accepted.items():
            self.run("accept", slug, *ids, "--reason", "compared: what the row leads to stands")

    def errors(self) -> list[dict[str, Any]]:
        """Return what the command tells of the documents that stay behind."""
        found: list[dict[str, Any]] = result_of(self.run("status", "--errors", "--output", "json").printed)[
            "outstanding"
        ]
        return found

    def _look_at(self, error: dict[str, Any]) -> None:
        self.conflicts.setdefault(error["document_id"], error["message"])
        self.seen["conflicts"] += 1
        places = NAMED.findall(error["message"])
        assert places, f"no object is named: {error}"
        for bucket, key, etag in places:
            answer = self.root.get_object(Bucket=bucket, Key=key)
            if answer["ETag"].strip('"') == etag:
                self.conflicts[answer["Body"].read().decode().split("\n")[3]] = error["message"]

    def complete(self) -> None:
        """After the application has stopped: the runs that bring everybody to the end."""
        for _ in range(PATIENCE):
            is_done = self.run("migrate-all").status == 0
            self.settle_conflicts()
            if is_done:
                break
            self.rest()
        self.follow_hints()
        for _ in range(PATIENCE):
            self.finish()
            if self.phases() == {("finished", "completed")}:
                break

    def follow_hints(self) -> None:
        """Do what the hints say. `home_changed`: what was uploaded without telling the row is right. `target_taken`: what the
        row has left behind in the home is moved away, once the two were compared.
        """
        for each in self.errors():
            if each["code"] == "target_taken":
                self._move_away(each["document_id"], TAKEN.findall(each["message"])[0])
        for document_id, bucket, key in self.rows():
            etag = self.root.head_object(Bucket=bucket, Key=key)["ETag"]
            self.room.execute("UPDATE documents SET etag = %s WHERE id = %s AND analysis ? 'late'", etag, document_id)

    def _move_away(self, document_id: str, taken: tuple[str, str]) -> None:
        key, bucket = taken
        [now] = [where for row_id, *where in self.rows() if row_id == document_id]
        left, stands = self._lines(bucket, key), self._lines(*now)
        assert (left[0], left[2]) == (stands[0], stands[2])
        assert int(left[1]) < int(stands[1]), f"{document_id}: what is in the way is newer: {left} {stands}"
        self.root.copy_object(Bucket=bucket, Key=f"left/{key}", CopySource={"Bucket": bucket, "Key": key})
        self.root.delete_object(Bucket=bucket, Key=key)
        self.seen["moved out of the way"] += 1

    def phases(self) -> set[tuple[str, str]]:
        """Return the phases and statuses that there are."""
        return set(self.room.rows("SELECT phase, status FROM s3_migrations"))

    def rows(self) -> list[tuple[str, str, str]]:
        """Return where every document that was ever uploaded is said to be."""
        return self.room.rows(
            "SELECT id, coalesce(nullif(s3_bucket, ''), %s), s3_key FROM documents WHERE analysis->>'version' <> '0'",
            self.room.shared,
        )

    def documents_now(self) -> dict[str, list[str]]:
        """Return what every row leads to: document id → its body's lines."""
        with ThreadPoolExecutor(4) as threads:
            return dict(threads.map(lambda row: (row[0], self._lines(row[1], row[2])), self.rows()))

    def _lines(self, bucket: str, key: str, **version: str) -> list[str]:
        answer = self.root.get_object(Bucket=bucket, Key=key, **version)
        return answer["Body"].read().decode().split("\n")

    @cached_property
    def versions(self) -> list[tuple[str, str, list[str]]]:
        """Every version of every object in every bucket, in the end: bucket, key, its body's lines."""
        refs = []
        for bucket in (self.room.shared, *self.room.homes()):
            for page in self.root.get_paginator("list_object_versions").paginate(Bucket=bucket):
                refs += [(bucket, each["Key"], each["VersionId"]) for each in page.get("Versions", [])]
        with ThreadPoolExecutor(4) as threads:
            return list(threads.map(lambda ref: (*ref[:2], self._lines(*ref[:2], VersionId=ref[2])), refs))

    def twice(self, now: dict[str, list[str]]) -> set[tuple[str, str]]:
        """Return what is in a home a second time: a row leads to the same bytes elsewhere, and nobody knows of this one.

        Nobody means: no row leads there, no line of the ledger names it, and it is not where people put what they upload.
        """
        ends = "SELECT target_bucket, target_key FROM s3_migration_documents UNION SELECT source_bucket, source_key "
        known = {*self.room.rows(ends + "FROM s3_migration_documents"), *(row[1:] for row in self.rows())}
        found = set()
        for bucket in self.room.homes():
            for page in self.root.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                found |= {(bucket, each["Key"]) for each in page.get("Contents", [])}
        assert found >= {row[1:] for row in self.rows()}
        tokens = {lines[3] for lines in now.values()}
        unknown = {each for each in found - known if not each[1].startswith(UPLOADS)}
        return {each for each in unknown if self._lines(*each)[3] in tokens}

    def left_behind(self) -> frozenset[str]:
        """Return the tokens of what is in the shared bucket and no row leads to, once somebody was rolled back."""
        if not any("rollback" in words for _, _, words in self.sweeps):
            return frozenset()
        pointed, keys = {row[1:] for row in self.rows()}, []
        for page in self.root.get_paginator("list_objects_v2").paginate(Bucket=self.room.shared):
            keys += [each["Key"] for each in page.get("Contents", [])]
        bucket = self.room.shared
        return frozenset(self._lines(bucket, key)[3] for key in keys if (bucket, key) not in pointed)

    def cleanup_tells_of_everything(self) -> bool:
        """Return whether the command says of every object left in the shared bucket why it is there."""
        [told] = result_of(self.run("cleanup", "--output", "json").printed)["buckets"]
        return bool(told["objects"] == sum(kind["objects"] for kind in told["left"]) >= len(self.left_behind()))

    def homes(self) -> dict[str, str]:
        """Return the tenants' homes by slug."""
        return dict(self.room.rows("SELECT slug, aws_bucket_name FROM tenants"))

    def keep_versions(self) -> None:
        """Let the shared bucket keep every version, so that nothing that was ever there is out of sight."""
        self.root.put_bucket_versioning(Bucket=self.room.shared, VersioningConfiguration={"Status": "Enabled"})

    def story(self, document_id: str) -> str:
        """Return everything that happened to a document, in order of time, for whoever has to find out why."""
        told = [(begin, f"{end:.2f} `{words}`") for begin, end, words in self.sweeps]
        told += [(each.begin, str(each)) for each in self.journal if each.document_id == document_id]
        found = [
            f"version of {key} in {bucket}: {lines[3]}"
            for bucket, key, lines in self.versions
            if lines[0] == document_id
        ]
        return "\n".join(
            [*(f"{at:.2f} {what}" for at, what in sorted(told)), *found, str(self.conflicts.get(document_id))]
        )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()
