"""Limits and grants while many clients upload at once, directly and behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest
from tests.support.pooler import running_pooler
from tests.support.shop import Shop, Tenant, file, grant_at_once, of, open_shop, stored

from rehouse.config.sections import TableMapping
from rehouse.core.errors import GrantExpired, QuotaExceeded
from rehouse.ledger import catalog as catalogs

pytestmark = [pytest.mark.long, pytest.mark.sample]
CLIENTS = 64
INSERT = (
    "INSERT INTO documents (id, tenant_id, original_name, filename, size) VALUES (%s, %s, 'n', 'n', 0)"
    " ON CONFLICT (id) DO NOTHING"
)
SHRINK = "UPDATE documents SET file_size = 1 WHERE id = %s AND file_size > 1"
SUMS = "SELECT coalesce(sum(file_size), 0)::bigint, count(*) FROM documents WHERE tenant_id = %s"


@pytest.fixture
def shop(application_database: str) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield open_shop(application_database, stack)


def at_once(works: list[Callable[[], object]]) -> list[Exception]:
    """Run everything at the same moment, and return what was raised."""
    raised: list[Exception] = []
    together = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        together.wait()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - told to the test
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.mark.parametrize("with_triggers", [True, False])
@pytest.mark.parametrize(("limit", "documents", "most"), [(995, 10_000, 99), (10**6, 70, 70)])
def test_64_grants_at_the_limit_are_never_one_too_many(
    shop: Shop, with_triggers: bool, limit: int, documents: int, most: int
) -> None:
    if not with_triggers:
        without = replace(shop.catalog.documents, triggers=frozenset())
        shop.catalog = replace(shop.catalog, documents=without)
    acme = shop.tenant(gb=of(limit), documents=documents)
    granted, raised = grant_at_once(acme, 3, 10, CLIENTS)
    assert (len(granted), {type(each) for each in raised}) == (most, {QuotaExceeded})
    for grant in granted[:20]:
        acme.uploads().abort(acme.id, grant.grant_id)
    shop.sql(
        "UPDATE s3_upload_grants SET expires_at = clock_timestamp() WHERE grant_id = ANY(%s)",
        [each.grant_id for each in granted[20:40]],
    )
    again, raised = grant_at_once(acme, 3, 10, CLIENTS, "another")
    assert (len(again), {type(each) for each in raised}) == (40, {QuotaExceeded}), "their room was given back"
    assert acme.used() == (0, 0, most, 10 * most)


@contextmanager
def within(connection: psycopg.Connection, acme: Tenant) -> Iterator[None]:
    """A transaction of the application's that says which tenant it is for, as it must behind a pooler."""
    with connection.transaction():
        connection.execute("SELECT set_config('app.tenant', %s, true)", (str(acme.id),), prepare=False)
        yield


def upload_at_random(acme: Tenant, url: str, seed: int) -> None:
    """Be one client of many: ask, insert, confirm, abort, forget, shrink."""
    dice = random.Random(seed)
    tenant, buckets = acme.row, acme.buckets
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        uploads = acme.uploads(connection)
        for number in range(12):
            document = f"{acme.slug}-{seed % 16}-{number % 3}"
            then = dice.choice(["confirm", "confirm", "confirm", "abort", "forget", "shrink"])
            seconds = 1 if then == "forget" else dice.choice([1, 600, 600])
            try:
                with within(connection, acme):
                    grant = uploads.open_grant(tenant, document, file(dice.choice([10, 35, 50])), seconds=seconds)
                    connection.execute(INSERT, (document, acme.id), prepare=False)
            except QuotaExceeded:
                continue
            match then:
                case "confirm":
                    with suppress(GrantExpired):
                        with within(connection, acme):
                            begun = uploads.begin_confirm(acme.id, grant.grant_id)
                        with within(connection, acme):
                            uploads.settle(acme.id, grant.grant_id, stored(begun), buckets)
                case "abort":
                    with within(connection, acme):
                        uploads.abort(acme.id, grant.grant_id)
                case "shrink":
                    with within(connection, acme):
                        connection.execute(SHRINK, (document,), prepare=False)


@pytest.mark.parametrize("is_pooled", [True, False])
def test_clients_at_random_stay_within_the_limits(shop: Shop, servers_folder: Path, is_pooled: bool) -> None:
    most_bytes, most_documents = 600, 30
    acme = shop.tenant(gb=of(most_bytes), documents=most_documents)
    stop, seen = threading.Event(), []

    def watch() -> None:
        with psycopg.connect(shop.owner_url, autocommit=True) as connection:
            while not stop.is_set():
                seen.extend(connection.execute(SUMS, (acme.id,)).fetchall())

    watcher = threading.Thread(target=watch)
    with ExitStack() as stack:
        url = shop.url
        if is_pooled:
            pooler = running_pooler(servers_folder, url, "transaction", default_pool_size=8, max_client_conn=200)
            url = stack.enter_context(pooler)
        watcher.start()
        try:
            raised = at_once([partial(upload_at_random, acme, url, seed) for seed in range(CLIENTS)])
        finally:
            stop.set()
            watcher.join()
    assert raised == []
    assert len(seen) > 10
    assert max(total for total, _ in seen) <= most_bytes
    assert max(count for _, count in seen) <= most_documents
    [(total, count)] = shop.sql(SUMS, acme.id)
    documents, used, *reserved = acme.used()
    assert (documents, used) == (count, total), "the usage is exact"
    assert total > 100, "there was something to do"
    assert used + reserved[1] <= most_bytes
    assert documents + reserved[0] <= most_documents


def test_a_cycle_behind_a_pooler_as_the_pages_role(shop: Shop, servers_folder: Path) -> None:
    acme, globex = shop.tenant(gb=1), shop.tenant()
    with running_pooler(servers_folder, shop.url, "transaction", default_pool_size=2) as url:
        connections = [psycopg.connect(url, autocommit=True, prepare_threshold=None) for _ in range(3)]
        one, two, busy = connections
        with within(one, acme):
            one.execute(INSERT, ("d", acme.id), prepare=False)
            found = catalogs.read(one, TableMapping(), as_application=True)
            grant = acme.uploads(one).open_grant(acme.row, "d", file(7), seconds=60)
        with within(busy, globex), within(two, acme):  # now another session of PostgreSQL's
            tenant = acme.uploads(two, found)._rows.read_tenant(acme.slug)
            begun = acme.uploads(two, found).begin_confirm(tenant.id, grant.grant_id)
        with within(one, acme):
            settled = acme.uploads(one).settle(acme.id, grant.grant_id, stored(begun), acme.buckets)
            assert settled is not None
            assert acme.uploads(one).deletions.may_delete(acme.id, "d", grant.staged)
            assert acme.uploads(one).deletions.pending() == [], "the grant's URL may write there again"
            one.execute("UPDATE s3_upload_grants SET expires_at = expires_at - interval '2 hours'", prepare=False)
            assert [each.ref for each in acme.uploads(one).deletions.pending()] == [grant.staged]
            acme.uploads(one).deletions.forget(settled.deletions[0])
            assert acme.uploads(one).quotas.usage(acme.row).room.used_bytes == 7
        with within(two, acme):
            deletion = acme.uploads(two).deletions.detach(acme.row, "d", acme.buckets)
        assert deletion.ref == begun.final
        for connection in connections:
            assert connection.execute("SELECT count(*) FROM pg_prepared_statements", prepare=False).fetchone() == (0,)
            connection.close()
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
    assert shop.sql(f"{held} WHERE datname = current_database())") == [(0,)]
