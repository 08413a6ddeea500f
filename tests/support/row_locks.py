"""Who holds a row while S3 is looked at."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
from tests.support.data_room import Room
from tests.support.http_relay import Reply, Request

BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


def is_locked(room: Room, document_id: str) -> bool:
    """Whether a writer would have to wait for a document's row."""
    with psycopg.connect(room.url) as other:
        try:
            other.execute("SELECT 1 FROM documents WHERE id = %s FOR UPDATE NOWAIT", (document_id,))
        except psycopg.errors.LockNotAvailable:
            return True
    return False


class Looks:
    """A rule of the relay: notes for each look at `b` whether its row is locked; some looks are answered otherwise."""

    def __init__(self, room: Room, answer: Callable[[int], Reply | None]) -> None:
        self.room, self.answer = room, answer
        self.locked: list[bool] = []
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply | None:
        if request.operation != "HEAD object" or request.key != "k/b":
            return None
        with self._lock:
            self.locked.append(is_locked(self.room, "b"))
            return self.answer(len(self.locked))
