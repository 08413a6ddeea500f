"""What a run asks of PostgreSQL and of S3, counted: statements grow with batches, requests with copies, and nothing else does.

Statements are counted in the server's own log, requests by a relay in front of the S3 server.
"""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay, Request

from rehouse.core.copies import Standing, decide
from rehouse.core.lifecycle import Phase, Status
from rehouse.core.model import ListedObject
from rehouse.operations import rollback
from rehouse.operations.migrate import migrate_all, migrate_one
from rehouse.operations.steps.run import Order
from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.s3_server import S3Server

STATEMENT = re.compile(rb"LOG:  (?:statement|execute [^:]+): ")
SETTLING = re.compile(rb"\tCALL \S+rehouse_settle_usage\(\)")
FORGETTING = re.compile(rb"LOG:  (?:statement|execute [^:]+): DEALLOCATE ALL")
"""What psycopg sends after a ROLLBACK if it has prepared a statement by then."""
LARGE = 1100
"""Documents of the large tenant: more than a page of a listing holds."""
STATEMENTS_A_BATCH = 12
"""A page read (4 with its transaction) and a batch of outcomes saved (7 with the look at the lock), rounded up."""
STATEMENTS_A_FLIP = 12
"""A batch of flips: the look at the lock, the fence, rows locked, claims asked for, pointers and lines, rounded up."""
STATEMENTS_A_TENANT = 105
"""About 20 of them try the switch and a flip before the cutover, in transactions that are rolled back."""
STATEMENTS_TO_TRY_A_RETURN = 20
"""The rows to try (4 with their transaction), the home (6), a row of each kind (8)."""


class StatementLog:
    """The statements of every session that begins from now on in one database."""

    def __init__(self, room: Room, server: PostgresServer) -> None:
        room.sql(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET log_statement = ''all''', current_database()); END $$"
        )
        self._log: Path = server.folder / "postgres.log"
        self._begin = self._log.stat().st_size

    def count(self) -> int:
        """Return how many there were since the last time, but for FORGETTING and for settling pending usage, which is chance."""
        with self._log.open("rb") as log:
            log.seek(self._begin)
            text = log.read()
        self._begin += len(text)
        return len(STATEMENT.findall(text)) - len(SETTLING.findall(text)) - len(FORGETTING.findall(text))


@pytest.fixture
def statements(room: Room, postgres: PostgresServer) -> StatementLog:
    """The statements of what runs in the room, whose schema is made already. Batches of flips do not go by the machine's speed."""
    room.settings = room.settings.model_copy(update={"lock_budget_ms": 60_000})
    with room.services():
        pass
    return StatementLog(room, postgres)


def tenants_with_documents(room: Room, slugs: Sequence[str], documents: int) -> None:
    """Add tenants with so many documents each."""
    for slug in slugs:
        room.tenant(slug)
        room.documents(*(f"{slug}-{number}" for number in range(documents)), slug=slug)


def tenant_with_rows(room: Room, slug: str, count: int) -> None:
    """Add a tenant with so many rows, and no objects: their keys are `SLUG/1` and so on."""
    room.tenant(slug)
    room.sql(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size)"
        " SELECT %s || n, (SELECT id FROM tenants WHERE slug = %s), 'x', 'x', %s, %s || n, 1"
        " FROM generate_series(1, %s) n",
        slug, slug, room.shared, f"{slug}/", count,
    )  # fmt: skip


def migrate_each(room: Room, slugs: Sequence[str], **more: Any) -> None:
    """Migrate these tenants in one run, one after the other."""
    with room.services() as services:
        reports = migrate_all(services, [services.ledger.tenant(slug) for slug in slugs], **more)
    assert [report.errors for report in reports] == [0] * len(slugs)


def test_statements_grow_with_batches_and_not_with_documents(room: Room, statements: StatementLog):
    tenants_with_documents(room, ["small"], 50)
    tenants_with_documents(room, ["large"], 250)
    asked = {}
    for slug in ("small", "large"):
        statements.count()
        assert room.migrate(slug, batch_size=50).status is Status.COMPLETED
        asked[slug] = statements.count()
    batches, more_flips = (
        (250 - 50) // 50,
        2,
    )  # 50 rows, then 100, then the other 100: no batch takes longer than that budget
    assert 0 < asked["large"] - asked["small"] <= STATEMENTS_A_BATCH * batches + STATEMENTS_A_FLIP * more_flips


def test_statements_grow_with_batches_of_heads_too(room: Room, statements: StatementLog):
    """A few documents among many of others: a listing of the shared bucket would take more requests."""
    tenant_with_rows(room, "other", 70_000)
    asked, heads = {}, {}
    for slug, documents in (("small", 10), ("large", 20)):
        tenants_with_documents(room, [slug], documents)
        for number in range(documents):
            room.row(f"{slug}-lost-{number}", f"lost/{slug}/{number}", slug=slug, bucket=room.shared)
        statements.count()
        with room.services() as services:
            report = migrate_one(services, services.ledger.tenant(slug))
            heads[slug] = services.bulk.requests["head"]
        assert (report.documents_migrated, report.errors) == (documents, documents)
        asked[slug] = statements.count()
    assert 0 <= asked["large"] - asked["small"] <= STATEMENTS_A_BATCH
    # Each is looked at before its copy and under its lock; the one that is lost beside it in each of two rounds, with its place
    # at home, and once with a slash in front.
    assert heads == {"small": 7 * 10, "large": 7 * 20}


def test_what_is_held_does_not_grow_with_documents(room: Room):
    """A listing goes into the inventory and a tenant's rows are decided on, some at a time: ten times as many weigh the same."""
    held = {}
    for slug, count in (("small", 6_000), ("large", 60_000)):
        tenant_with_rows(room, slug, count)
        with room.services() as services:
            inventory = services.ledger.inventory()
            migration = services.ledger.begin_run(services.ledger.tenant(slug), f"home-{slug}")
            documents, places = services.ledger.documents(migration), services.places(migration.home_bucket)
            tracemalloc.start()
            inventory.load(room.shared, pages_of(slug, count))
            now = datetime.now(UTC)
            for page in documents.pages_outside(500):
                decided = Counter(decide(each, places, now=now, upload_window=timedelta(0)).standing for each in page)
                assert decided == {Standing.TO_COPY: len(page)}
            held[slug] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert held["large"] < held["small"] * 1.2
    assert held["large"] < 20_000_000


def pages_of(slug: str, count: int) -> Iterator[list[ListedObject]]:
    """Yield a listing's pages of a thousand objects."""
    when = datetime.now(UTC)
    for first in range(1, count + 1, 1000):
        numbers = range(first, min(first + 1000, count + 1))
        yield [ListedObject(f"{slug}/{number}", f"{number:032x}", 1, "STANDARD", when) for number in numbers]


def test_every_further_tenant_costs_the_same_statements(room: Room, statements: StatementLog):
    slugs = [f"tenant-{number}" for number in range(12)]
    tenants_with_documents(room, slugs, 3)
    asked = []
    for chosen in (slugs[:2], slugs[2:6], slugs[6:12]):
        statements.count()
        migrate_each(room, chosen)
        asked.append(statements.count())
    assert asked[2] - asked[1] == asked[1] - asked[0]
    assert (asked[1] - asked[0]) / 2 <= STATEMENTS_A_TENANT


def test_a_rollbacks_trial_costs_a_few_statements(
    room: Room, statements: StatementLog, monkeypatch: pytest.MonkeyPatch
):
    tenants_with_documents(room, ["three", "untried"], 3)
    tenants_with_documents(room, ["thirty"], 30)
    slugs = ["three", "untried", "thirty"]
    migrate_each(room, slugs)
    asked = {}
    for slug in slugs:
        if slug == "untried":
            monkeypatch.setattr(rollback, "try_return", lambda *_, **__: None)
        statements.count()
        with room.services() as services:
            assert rollback.roll_back_one(services, services.ledger.tenant(slug)).errors == 0
        asked[slug] = statements.count()
        monkeypatch.undo()
    assert 0 < asked["three"] - asked["untried"] <= STATEMENTS_TO_TRY_A_RETURN
    assert abs(asked["thirty"] - asked["three"]) <= 2  # as above


def test_paging_reads_each_row_about_once(room: Room):
    """Also where PostgreSQL has no statistics, and after it remembers a plan for the statement (from the sixth time on)."""
    rows = 5000
    room.sql(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size)"
        " SELECT md5(n::text), (SELECT id FROM tenants WHERE slug = 'acme'), 'x', 'x', %s, 'k/' || n, 1"
        " FROM generate_series(1, %s) n",
        room.shared,
        rows,
    )
    read = "SELECT sum(seq_tup_read + idx_tup_fetch)::int FROM pg_stat_user_tables WHERE relname = 'documents'"
    with room.services() as services:
        documents = services.ledger.documents(services.ledger.begin_run(services.ledger.tenant("acme"), "home"))
        services.ledger.connection.execute("SELECT pg_stat_force_next_flush()")
        before = room.sql(read)[0][0]
        assert sum(len(page) for page in documents.pages_outside(50)) == rows
        services.ledger.connection.execute("SELECT pg_stat_force_next_flush()")
        services.ledger.connection.execute("SELECT 1")
    assert rows <= room.sql(read)[0][0] - before <= 3 * rows


def test_provisioning_takes_at_most_22_requests_a_tenant(room: Room, s3_server: S3Server):
    slugs = ["one", "two", "three"]
    tenants_with_documents(room, slugs, 1)
    with HttpRelay(s3_server.port) as relay:
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url})
        migrate_each(room, slugs, order=Order(Phase.PROVISIONED))
        asked = Counter(each.bucket for each in relay.seen)
    for slug in slugs:
        assert 10 < asked[room.home(slug)] <= 22


@dataclass(frozen=True)
class Large:
    """A tenant of LARGE documents that was migrated and verified, and the requests of each."""

    room: Room
    migration: Sequence[Request]
    verification: Sequence[Request]


@pytest.fixture(scope="module")
def large(postgres: PostgresServer, templates, s3_server: S3Server, storage_settings) -> Iterator[Large]:
    """The large tenant, behind a counting relay."""
    shared = "shared-of-the-large-tenant"
    s3_server.root().create_bucket(Bucket=shared)
    room = Room(postgres.create_database("large_tenant", templates("integer")), shared, s3_server, storage_settings)
    room.tenant("acme")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: room.put(f"k/{number:04}", b"%d" % number), range(LARGE)))
    room.sql(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size)"
        " SELECT 'd' || lpad(n::text, 4, '0'), (SELECT id FROM tenants), 'x', 'x', %s, 'k/' || lpad(n::text, 4, '0'), 1"
        " FROM generate_series(0, %s) n",
        shared,
        LARGE - 1,
    )
    with HttpRelay(s3_server.port) as relay:
        # Batches of flips grow as fast as the lock budget lets them: an ample one makes them independent of the machine.
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url, "lock_budget_ms": 60_000})
        assert room.migrate().documents_migrated == LARGE
        migration = relay.seen
        relay.forget()
        assert room.verify().is_well
        yield Large(room, migration, relay.seen)
    room.close()
    postgres.drop_database("large_tenant")


def test_a_document_takes_one_copy_and_a_run_one_more(large: Large):
    copies = [each.path for each in large.migration if each.copies]
    assert len(set(copies)) == LARGE
    # One is repeated to see whether conditions are honoured; libcurl repeats what it sent into a connection that was closing.
    assert LARGE + 1 <= len(copies) <= LARGE + 5


def test_the_shared_bucket_is_listed_once_before_the_flips(large: Large):
    of_shared = [each for each in large.migration if each.bucket == large.room.shared]
    whole = [each for each in of_shared if each.is_listing and "start-after" not in each.query]
    assert len(whole) == -(-LARGE // 1000)
    batches = (
        5  # of flips: 50 rows, 100, 200, 400, the rest; a listing of the batch's range and a HEAD for its first key
    )
    assert len(of_shared) - len(whole) <= 2 * 2 * batches


def test_verification_takes_two_requests_a_thousand_documents(large: Large):
    looks = [
        each for each in large.verification if each.is_listing or (each.method == "HEAD" and each.path.count("/") > 1)
    ]
    assert 0 < len(looks) * 1000 <= 2 * LARGE
