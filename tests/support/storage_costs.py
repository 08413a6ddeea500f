"""Counts the statements that a storage sends to PostgreSQL, and the requests that it sends to S3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg


class CountingPool:
    """A pool of one connection, which counts what is executed beside BEGIN, COMMIT and savepoints. `calls`: the hook's records."""

    def __init__(self, url: str) -> None:
        statements: list[str] = []

        class CountingCursor(psycopg.Cursor[Any]):
            def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
                statements.append(query.as_string(None) if hasattr(query, "as_string") else str(query))
                return super().execute(query, *arguments, **options)

        self.statements, self.calls = statements, list[Any]()
        self._connection = psycopg.connect(url, autocommit=True, cursor_factory=CountingCursor)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Lend the connection."""
        yield self._connection

    def cost(self) -> tuple[int, int]:
        """Return how many statements and requests there were since the last time."""
        found = len(self.statements), sum(call.requests for call in self.calls)
        self.statements.clear()
        self.calls.clear()
        return found
