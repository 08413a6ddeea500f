"""The pool of the application's storage: clear errors without a password, a limit, and connections that a fork does not share."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import pytest
from pydantic import SecretStr
from tests.support.children import in_child

from rehouse.config import Settings
from rehouse.core.errors import ConfigurationError, DatabaseRefused, TryAgain
from rehouse.ledger import pool as pools
from rehouse.ledger.pool import MOST_CONNECTIONS, StoragePool


def pool_of(url: str) -> StoragePool:
    return StoragePool(Settings(database_url=SecretStr(url), shared_bucket=("shared",)))


def test_a_url_is_needed():
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not set"):
        StoragePool(Settings(shared_bucket=("shared",)))


def test_an_unreachable_database_is_named_without_the_password(monkeypatch, caplog):
    monkeypatch.setattr(pools, "WAIT_SECONDS", 0.3)
    pool = pool_of("postgresql://me:s3cret-word@127.0.0.1:1/app")
    with caplog.at_level(logging.DEBUG), pytest.raises(DatabaseRefused) as caught, pool.connection():
        pass
    pool.close()
    assert "me@127.0.0.1:1/app" in caught.value.message
    assert "s3cret-word" not in caplog.text + caught.value.message + caught.value.hint


def test_a_pool_that_is_used_up_says_so(application_database, monkeypatch):
    monkeypatch.setattr(pools, "WAIT_SECONDS", 0.3)
    pool = pool_of(application_database)
    with ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            stack.enter_context(pool.connection())
        with pytest.raises(TryAgain, match="no database connection was free"):
            stack.enter_context(pool.connection())
    with pool.connection() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert (connection.autocommit, connection.prepare_threshold) == (True, None)
    pool.close()


def test_a_lost_connection_is_replaced(application_database):
    pool = pool_of(application_database)
    with pool.connection() as connection:
        pid = connection.info.backend_pid
    with pool.connection() as first, pool.connection() as second:
        other = second if first.info.backend_pid == pid else first
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    for _ in range(3):
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    pool.close()


def test_a_child_leaves_the_parents_connections_alone(application_database):
    pool = pool_of(application_database)
    with pool.connection() as connection:
        pid = connection.info.backend_pid

    def work():
        with pool.connection() as connection:
            is_well = connection.info.backend_pid != pid and connection.execute("SELECT 1").fetchone() == (1,)
        pool.close()
        return is_well

    assert in_child(work) == 0
    with pool.connection() as connection:
        assert connection.info.backend_pid == pid
        assert connection.execute("SELECT 1").fetchone() == (1,)
    pool.close()
