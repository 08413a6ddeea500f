"""Several documents of two tenants on the real servers, in any order of writes, commands and kills; a dictionary is the model.

`heads` holds for each document the bytes that nobody wanted to overwrite: one, or two where somebody wrote without the
row's lock and somebody else beside. A killed command is a child process that ends itself at its n-th call into the ledger
or S3, without a word.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from tests.model.places import Grant, Places
from tests.support.data_room import Room
from tests.support.killing import in_a_child
from tests.support.rows import recorded, recounted

from rehouse.core.errors import Refused, TryAgain
from rehouse.core.lifecycle import Phase, is_at_least
from rehouse.core.model import Tenant
from rehouse.operations.accept import accept
from rehouse.operations.finish import finish_one
from rehouse.operations.migrate import migrate_one
from rehouse.operations.rollback import roll_back_one
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Order

TENANTS = ("acme", "zenith")
UNTIL = (Phase.COPIED, Phase.VERIFIED, Phase.CUT_OVER, Phase.CUT_OVER)
SOME = st.integers(0, 9)
TENANT = st.sampled_from(TENANTS)
LATE = st.sampled_from(("nothing", "where it was", "on both sides"))
KILLED_AT = st.none() | st.none() | st.integers(1, 1500)


Command = Callable[[Services, Tenant], object]


class DataRoom(Places):
    """The machine; `room` is made anew for each example."""

    new_room: Callable[[], Room]
    reached: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.room = type(self).new_room()
        self.room.tenant("zenith")
        with self.room.services():
            pass  # the ledger's tables
        self.heads: dict[str, set[bytes]] = {}
        self.grants: list[Grant] = []
        self.written_late: set[str] = set()
        self.in_conflict: set[str] = set()
        self.count = 0
        for slug in TENANTS:
            self.upload(slug)
            self.upload(slug)
        self.migrate("acme", Phase.CUT_OVER, None)

    def teardown(self) -> None:
        """Let everything come to rest, then look at everything."""
        try:
            for slug in TENANTS:
                self._settle(slug)
            self._everything_is_in_its_place()
        finally:
            self.room.close()

    # The application ----------------------------------------------------------------------------------------------------

    @rule(slug=TENANT)
    def upload(self, slug: str) -> None:
        """An upload goes to the home, else to the shared bucket."""
        document, bucket = f"d{self._next()}", self._home_of(slug)
        self._put(document, bucket, f"new/{document}")
        self.room.row(document, f"new/{document}", slug=slug, bucket=bucket)

    @rule(which=SOME)
    def overwrite_in_place(self, which: int) -> None:
        """Under the row's lock; the row says the new ETag."""
        document = self._document(which)
        if document:
            bucket, key = self._pointer(document)
            etag = self._put(document, bucket, key)
            self.room.sql("UPDATE documents SET etag = %s WHERE id = %s", etag, document)

    @rule(which=SOME)
    def replace(self, which: int) -> None:
        """A new key, then the row."""
        document = self._document(which)
        if document:
            bucket, key = self._home_of(self._slug_of(document)), f"replaced/{self._next()}"
            self.heads[document] = set()
            self._forget_grants(document)
            etag = self._put(document, bucket, key)
            sql = "UPDATE documents SET s3_bucket = %s, s3_key = %s, etag = %s WHERE id = %s"
            self.room.sql(sql, bucket, key, etag, document)

    @rule(which=SOME)
    def delete(self, which: int) -> None:
        """The row goes, then its object, unless another row has it."""
        document = self._document(which)
        if document:
            bucket, key = self._pointer(document)
            self.room.sql("DELETE FROM documents WHERE id = %s", document)
            self.room.root.delete_object(Bucket=bucket, Key=key)
            del self.heads[document]
            self._forget_grants(document)

    @rule(which=SOME)
    def move_to_the_other_tenant(self, which: int) -> None:
        """Only out of the shared bucket: a row with a pointer into somebody's home may not move."""
        document = self._document(which)
        if document and self._pointer(document)[0] == self.room.shared:
            other = TENANTS[1 - TENANTS.index(self._slug_of(document))]
            move = "UPDATE documents SET tenant_id = (SELECT id FROM tenants WHERE slug = %s) WHERE id = %s"
            self.room.sql(move, other, document)

    @rule(which=SOME)
    def grant(self, which: int) -> None:
        """Somebody is given a URL for a PUT to where the document is now."""
        document = self._document(which)
        if document and len(self.grants) < 3:
            self.grants.append(Grant(document, *self._pointer(document), self.room.body(document)))

    @precondition(lambda self: self.grants)
    @rule()
    def write_through_a_grant(self) -> None:
        """Wherever the document is by now."""
        grant = self.grants.pop(0)
        self.heads[grant.document].discard(grant.knew)
        self._put(grant.document, grant.bucket, grant.key)
        self.written_late.add(grant.document)

    @rule(which=SOME, is_both=st.booleans())
    def write_where_it_was(self, which: int, is_both: bool) -> None:
        """Through a pointer of before the last move, which the ledger knows; perhaps written where it is now as well.

        Not if it was replaced since: that takes the old pointers back, as it would without a move.
        """
        document = self._document(which)
        query = (
            "SELECT source_bucket, source_key FROM s3_migration_documents m JOIN documents d ON d.id = m.document_id "
            "AND d.tenant_id = m.tenant_id AND d.s3_key = m.target_key "
            "WHERE d.id = %s AND m.state = 'flipped' AND s3_bucket <> source_bucket"
        )
        found = self.room.sql(query, document) if document else []
        if document and found:
            if is_both:
                self.overwrite_in_place(which)
            self._put(document, *found[0])
            self.written_late.add(document)

    # The operator -------------------------------------------------------------------------------------------------------

    @rule(slug=TENANT, until=st.sampled_from(UNTIL), killed_at=KILLED_AT)
    def migrate(self, slug: str, until: Phase, killed_at: int | None) -> None:
        """Any phase; after a way back it is refused while somebody has to decide on a conflict. Who migrates again waits for the
        grace of the way back: until then it is not known who still writes where a document was before.
        """
        if self._phase(slug) is Phase.ROLLED_BACK:
            self.grants = [each for each in self.grants if self._pointer(each.document) == (each.bucket, each.key)]
        self.reached["migrated again"] += self._phase(slug) is Phase.ROLLED_BACK
        self._run(slug, lambda services, tenant: _migrate(services, tenant, Order(until=until)), killed_at)
        self._count_conflicts()

    @rule(slug=TENANT, killed_at=KILLED_AT)
    def roll_back(self, slug: str, killed_at: int | None) -> None:
        """Wherever it is not refused."""
        phase = self._phase(slug)
        if phase and not is_at_least(phase, Phase.RELEASED):
            self._run(slug, roll_back_one, killed_at)
            self.reached["rolled back"] += self._phase(slug) is Phase.ROLLED_BACK
            self._count_conflicts()

    @rule(slug=TENANT, which=SOME, before=LATE, between=LATE, killed_at=KILLED_AT)
    def go_back_and_migrate_again(
        self, slug: str, which: int, before: str, between: str, killed_at: int | None
    ) -> None:
        """One after the other, perhaps with late writes before and between, whether or not the first was killed."""
        self._perhaps_write_late(which, before)
        self.roll_back(slug, killed_at)
        self._perhaps_write_late(which, between)
        self.migrate(slug, Phase.CUT_OVER, None)

    @rule(slug=TENANT, killed_at=KILLED_AT)
    def finish(self, slug: str, killed_at: int | None) -> None:
        """The grace is over, so nobody holds a pointer of before."""
        phase = self._phase(slug)
        if phase and is_at_least(phase, Phase.CUT_OVER) and not self.grants:
            self._run(slug, lambda services, tenant: finish_one(services, tenant, grace=timedelta(0)), killed_at)
            self.reached["finished"] += self._phase(slug) is Phase.FINISHED and phase is not Phase.FINISHED

    @rule(which=SOME)
    def accept_a_conflict(self, which: int) -> None:
        """What the row leads to stands."""
        conflicts = self._told("Conflict")
        if conflicts:
            document, slug = conflicts[which % len(conflicts)]
            self._run(
                slug, lambda services, tenant: accept(services, tenant, [document], "what the row leads to"), None
            )
            self.heads[document] = {self.room.body(document)}

    # What holds ---------------------------------------------------------------------------------------------------------

    @invariant()
    def every_row_has_its_object_and_who_keeps_to_the_lock_reads_the_newest(self) -> None:
        """At every step, also right after a kill."""
        for document, heads in self.heads.items():
            body = self.room.body(document)
            assert document in self.written_late or heads == {body}, f"{document} is {body!r}, wanted {heads}"

    @invariant()
    def nothing_is_in_the_other_tenants_bucket(self) -> None:
        """A home holds only what was its tenant's when it was copied; a row never points into another home."""
        homes = {slug: self._recorded_home(slug) for slug in TENANTS}
        for document in self.heads:
            other = TENANTS[1 - TENANTS.index(self._slug_of(document))]
            assert self._pointer(document)[0] != homes[other] or homes[other] is None

    def _everything_is_in_its_place(self) -> None:
        conflicts, taken = self._conflicts(), self._conflicts("target_taken")
        for document, heads in self.heads.items():
            body, slug = self.room.body(document), self._slug_of(document)
            if document in taken & self.written_late:
                continue  # what landed in the home that was left is kept there, and is told
            assert body in heads, f"{document} is {body!r}, wanted {heads}"
            assert len(heads) == 1 or document in conflicts, f"{document} was written on both sides and nobody says so"
            place = self._recorded_home(slug) if self._is_live(slug) else self.room.shared
            assert self._pointer(document)[0] == place or document in conflicts | taken
        assert recorded(self.room.connection) == recounted(self.room.connection)

    def _perhaps_write_late(self, which: int, late: str) -> None:
        if late != "nothing":
            self.write_where_it_was(which, is_both=late == "on both sides")

    def _settle(self, slug: str) -> None:
        if self._phase(slug) is Phase.ROLLED_BACK:
            self.roll_back(slug, None)
        elif self._phase(slug):
            self.migrate(slug, Phase.CUT_OVER, None)

    def _count_conflicts(self) -> None:
        """Every document once, however long somebody has to decide on it."""
        found = self._conflicts() - self.in_conflict
        self.in_conflict |= found
        self.reached["conflicts"] += len(found)

    def _run(self, slug: str, command: Command, killed_at: int | None) -> None:
        if killed_at is None:
            self._command(slug, command)
        else:
            self.reached["killed"] += in_a_child(lambda: self._command(slug, command), killed_at)

    def _command(self, slug: str, command: Command) -> None:
        """Run a command; the locks of one that was killed are gone as soon as PostgreSQL notices."""
        for _ in range(100):
            try:
                with self.room.services() as services:
                    command(services, services.ledger.tenant(slug))
                    return
            except TryAgain:
                time.sleep(0.1)
        raise AssertionError(f"{slug} stays locked")


def _migrate(services: Services, tenant: Tenant, order: Order) -> None:
    """A migration; that it is refused over a conflict is as it should be."""
    try:
        migrate_one(services, tenant, order)
    except Refused as refused:
        assert "written at both ends" in refused.message
