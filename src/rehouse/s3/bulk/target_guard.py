"""Does the endpoint honour the conditions on a copy's target? Each is asked about once a run, by one copy that is sent twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rehouse.core.model import CopyTask

ASKS = 3
"""How often it is asked in a run before it stays unknown."""


class Condition:
    """What a run knows of one condition, over all its workers; `is_honoured` is None until it is known: never a yes."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._is_honoured: bool | None = None
        self._asks = 0

    @property
    def is_honoured(self) -> bool | None:
        """Whether the condition is honoured; None until there is an answer."""
        return self._is_honoured

    def find_out(self, ask: Callable[[], bool | None]) -> None:
        """Ask, unless the answer is known; one asks at a time, the others wait for its answer.

        `ask` returns None, or raises, where it got none: then the next one asks.
        """
        if self._is_honoured is not None:
            return
        with self._asking:
            if self._is_honoured is None and self._asks < ASKS:
                self._asks += 1
                answer = ask()
                if self._is_honoured is None:  # else a copy without the condition has told meanwhile
                    self._is_honoured = answer

    def note_unguarded(self) -> None:
        """Note that the endpoint would not take the condition at all: this answer is final, whatever other requests got."""
        self._is_honoured = False


class TargetGuard:
    """What a run knows of both conditions: `absent` on a target that must not exist, `unchanged` on one that is replaced."""

    def __init__(self) -> None:
        self.absent = Condition()
        self.unchanged = Condition()

    def of(self, task: CopyTask) -> Condition:
        """Return the condition that the copy is sent with."""
        return self.absent if task.replaces_etag is None else self.unchanged
