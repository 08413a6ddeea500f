"""A world of one tenant `a`, its application, and the command on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.command import World
from tests.support.http_relay import HttpRelay
from tests.support.killer import Killer
from tests.support.postgres_relay import PostgresRelay
from tests.support.warm_process import Ended, Warm

LARGE_BYTES = 5 * 1024 * 1024
SERIAL = {
    "REHOUSE_MAX_IN_FLIGHT": "2",
    "REHOUSE_BATCH_SIZE": "2",
    "REHOUSE_MULTIPART_THRESHOLD_BYTES": str(LARGE_BYTES),
    "REHOUSE_MULTIPART_PART_BYTES": str(LARGE_BYTES),
}
"""Small batches, so that a small migration has everything that a large one has: pages, parts, several flips."""
SHARED = "{shared bucket}"
"""Stands in a command for the shared bucket's name."""
LIKE: dict[str, Any] = {"ContentType": "application/x-place", "Metadata": {"who": "somebody"}, "Tagging": "kept=yes"}
"""What every object is like, besides its bytes: that must arrive too."""


@dataclass
class Place:
    """A world of one tenant `a`, and the command on it.

    `bodies` is what the application committed last, by document; `late` what was overwritten without the row's lock: a reader
    may still get that until the next sweep has ended.
    """

    world: World
    warm: Warm
    storage: HttpRelay
    database: PostgresRelay
    bodies: dict[str, bytes] = field(default_factory=dict)
    late: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str, killer: Killer | None = None) -> Ended:
        """Run the command; with a killer through the relays, which tell it of every call."""
        if killer is None:
            return self.warm.run(*self._named(arguments), environment=self.world.environment() | SERIAL)
        killer.watch(self.storage, self.database)

        def begun(pid: int) -> None:
            killer.pid = pid

        return self.relayed(*arguments, begun=begun)

    def relayed(self, *arguments: str, begun: Callable[[int], object] = lambda pid: None) -> Ended:
        """Run the command through the relays, whatever their rules are."""
        url = self.world.url.rsplit("@", 1)[0] + f"@127.0.0.1:{self.database.port}/{self.world.url.rsplit('/', 1)[1]}"
        relays = {
            "DATABASE_URL": f"{url}?sslmode=disable&gssencmode=disable",
            "AWS_ENDPOINT_URL_S3": self.storage.url,
            "AWS_ENDPOINT_URL": self.storage.url,
        }
        environment = self.world.environment() | SERIAL | relays
        return self.warm.run(*self._named(arguments), environment=environment, begun=begun)

    def _named(self, arguments: tuple[str, ...]) -> list[str]:
        return [self.world.shared if each == SHARED else each for each in arguments]

    def done(self, *arguments: str) -> None:
        """Run the command; it must end well."""
        ended = self.command(*arguments)
        assert ended.status == 0, ended

    @property
    def home(self) -> str:
        """The tenant's home as the application has it."""
        return str(self.world.rows("SELECT coalesce(aws_bucket_name, %s) FROM tenants", self.world.shared)[0][0])

    def phase(self) -> str:
        """Return the tenant's phase; "none" before its first run."""
        found = self.world.rows("SELECT phase FROM s3_migrations")
        return str(found[0][0]) if found else "none"

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Upload an object; return its ETag."""
        return str(self.world.server.root().put_object(Bucket=bucket, Key=key, Body=body, **LIKE)["ETag"])

    def upload(self, document_id: str, body: bytes, *, key: str | None = None, null_bucket: bool = False) -> None:
        """Upload a document as the application does."""
        bucket, key = self.home, key or f"in/{document_id}"
        etag = self.put(bucket, key, body)
        self.world.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, etag, uploaded_at) "
            "VALUES (%s, 1, %s, 'f', %s, %s, %s, %s, '2024-01-01')",
            document_id, f"{document_id}.txt", None if null_bucket else bucket, key, len(body), etag,
        )  # fmt: skip
        self.bodies[document_id] = body

    def overwrite(self, document_id: str, body: bytes) -> None:
        """Overwrite a document in place, as the rules allow, and say so in its row."""
        bucket, key = self.pointers()[document_id]
        etag = self.put(bucket, key, body)
        self.world.execute("UPDATE documents SET etag = %s, size = %s WHERE id = %s", etag, len(body), document_id)
        self.bodies[document_id] = body

    def pointers(self) -> dict[str, tuple[str, str]]:
        """Return where the rows point."""
        rows = self.world.rows("SELECT id, coalesce(s3_bucket, %s), s3_key FROM documents", self.world.shared)
        return {row[0]: (row[1], row[2]) for row in rows}

    def objects(self, bucket: str) -> dict[str, str]:
        """Return key → ETag of a bucket."""
        found = self.world.server.root().list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"]: each["ETag"] for each in found}

    def homes(self) -> list[str]:
        """Return the tenants' buckets that there are."""
        return [name for name in self.buckets() if name.startswith(f"{self.world.prefix}-")]

    def buckets(self) -> list[str]:
        """Return all buckets of the server."""
        return [each["Name"] for each in self.world.server.root().list_buckets()["Buckets"]]

    def swept(self) -> None:
        """From here on nothing old may be read any more."""
        self.late = {}

    def doubled(self) -> list[str]:
        """Return the objects, where rows point now, that hold what another one there holds and no row leads to; empty is well.

        What the application itself put below `in/` does not count: it leaves objects behind when it replaces or deletes.
        """
        wrong = []
        pointers = set(self.pointers().values())
        for bucket in {bucket for bucket, _ in pointers}:
            there = self.objects(bucket)
            known = {etag for key, etag in there.items() if (bucket, key) in pointers}
            wrong += [
                f"{bucket}/{key}"
                for key, etag in there.items()
                if etag in known and (bucket, key) not in pointers and not key.startswith("in/")
            ]
        return wrong

    def unreadable(self) -> list[str]:
        """Return the documents that a reader would not get as they were committed; empty is well."""
        wrong = []
        root = self.world.server.root()
        pointers = self.pointers()
        for document_id, body in self.bodies.items():
            bucket, key = pointers[document_id]
            try:
                answer = root.get_object(Bucket=bucket, Key=key)
            except root.exceptions.NoSuchKey:
                wrong.append(f"{document_id}: {bucket}/{key} is not there")
                continue
            found = answer["Body"].read()
            if found not in (body, self.late.get(document_id)):
                wrong.append(f"{document_id}: {bucket}/{key} holds {found[:20]!r}, not {body[:20]!r}")
        return wrong

    def altered(self) -> list[str]:
        """Return the documents whose object has not the Content-Type, metadata and tags that it was made with; empty is well."""
        root = self.world.server.root()
        wrong = []
        for document_id, (bucket, key) in self.pointers().items():
            head = root.head_object(Bucket=bucket, Key=key)
            tags = root.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
            kept = head["ContentType"] == LIKE["ContentType"] and LIKE["Metadata"].items() <= head["Metadata"].items()
            if not kept or tags != [{"Key": "kept", "Value": "yes"}]:
                wrong.append(f"{document_id}: {bucket}/{key}: {head['ContentType']}, {head['Metadata']}, {tags}")
        return wrong

    def usage(self) -> tuple[int, int]:
        """Return documents and bytes of this month as the usage table has them, with the deltas that nobody folded yet."""
        rows = self.world.rows(
            "SELECT documents_count + coalesce(p.documents, 0), storage_used_bytes + coalesce(p.bytes, 0) FROM tenant_usage"
            " CROSS JOIN (SELECT sum(documents) AS documents, sum(bytes) AS bytes FROM rehouse_usage_deltas) p"
            " WHERE month = date_trunc('month', now() AT TIME ZONE 'UTC')::date"
        )
        assert len(rows) == 1
        return int(rows[0][0]), int(rows[0][1])

    def recount(self) -> tuple[int, int]:
        """Return documents and bytes as the rows claim them."""
        row = self.world.rows("SELECT count(*), sum(coalesce(nullif(file_size, 0), size)) FROM documents")[0]
        return int(row[0]), int(row[1])

    def remove(self) -> None:
        """Remove its buckets, so that a server with thousands of worlds behind it stays quick."""
        root = self.world.server.root()
        for bucket in {self.world.shared, self.world.log_bucket, *self.homes()} & set(self.buckets()):
            while found := _versions(root, bucket):
                root.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            root.delete_bucket(Bucket=bucket)


def _versions(root: Any, bucket: str) -> list[dict[str, str]]:
    page = root.list_object_versions(Bucket=bucket)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
