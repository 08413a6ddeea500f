"""What the histories ask and do between their rules: documents, pointers, phases; each question goes to the real servers."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis.stateful import RuleBasedStateMachine
from tests.support.data_room import Room

from rehouse.core.lifecycle import Phase, is_at_least


class Grant(NamedTuple):
    """A pointer that somebody read and may still write through, and what was there then."""

    document: str
    bucket: str
    key: str
    knew: bytes


class Places(RuleBasedStateMachine):
    """The state of a history, without its rules."""

    room: Room
    heads: dict[str, set[bytes]]
    grants: list[Grant]
    count: int

    def _next(self) -> int:
        self.count += 1
        return self.count

    def _put(self, document: str, bucket: str, key: str) -> str:
        """PUT new bytes: what was there is not wanted any more, these are. Return their ETag."""
        body = f"{document} {self._next()}".encode()
        heads = self.heads.setdefault(document, set())
        if key in self.room.keys(bucket):
            heads.discard(self.room.root.get_object(Bucket=bucket, Key=key)["Body"].read())
        heads.add(body)
        return self.room.put(key, body, bucket)

    def _document(self, which: int) -> str | None:
        documents = sorted(self.heads)
        return documents[which % len(documents)] if documents else None

    def _pointer(self, document: str) -> tuple[str, str]:
        bucket, key = self.room.pointer(document)
        assert bucket and key
        return bucket, key

    def _slug_of(self, document: str) -> str:
        query = "SELECT slug FROM tenants t JOIN documents d ON d.tenant_id = t.id WHERE d.id = %s"
        return str(self.room.sql(query, document)[0][0])

    def _forget_grants(self, document: str) -> None:
        """Whoever replaces or deletes a document takes back what was granted for the old object."""
        self.grants = [grant for grant in self.grants if grant.document != document]

    def _home_of(self, slug: str) -> str:
        home = self.room.sql("SELECT aws_bucket_name FROM tenants WHERE slug = %s", slug)[0][0]
        return str(home or self.room.shared)

    def _of_migration(self, slug: str, column: str) -> str | None:
        query = f"SELECT {column} FROM s3_migrations m JOIN tenants t ON t.id = m.tenant_id WHERE slug = %s"
        found = self.room.sql(query, slug)
        return str(found[0][0]) if found and found[0][0] else None

    def _recorded_home(self, slug: str) -> str | None:
        return self._of_migration(slug, "home_bucket")

    def _phase(self, slug: str) -> Phase | None:
        phase = self._of_migration(slug, "phase")
        return Phase(phase) if phase else None

    def _is_live(self, slug: str) -> bool:
        phase = self._phase(slug)
        return phase is not None and is_at_least(phase, Phase.CUT_OVER)

    def _conflicts(self, code: str = "Conflict") -> set[str]:
        return {document for document, _ in self._told(code)}

    def _told(self, code: str) -> list[tuple[str, str]]:
        """The documents of which a ledger says so, with the tenant whose ledger it is, in order."""
        query = (
            "SELECT document_id, slug FROM s3_migration_documents m JOIN tenants t ON t.id = m.tenant_id "
            "WHERE error_code = %s ORDER BY document_id, slug"
        )
        return [(document, slug) for document, slug in self.room.sql(query, code) if document in self.heads]
