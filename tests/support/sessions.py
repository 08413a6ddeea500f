"""Sessions that are cut off, on every version of PostgreSQL."""

from __future__ import annotations

import time

import psycopg

_LOCKS = "FROM pg_stat_activity WHERE application_name = 'rehouse lock' AND datname = current_database()"


def cut_off(url: str) -> None:
    """End the sessions that hold rehouse's locks in the database, and wait until they are gone."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {_LOCKS}".encode())
        while connection.execute(f"SELECT count(*) {_LOCKS}".encode()).fetchone() != (0,):
            time.sleep(0.01)
