"""Whether the endpoint honours the conditions on a copy's target, tested once per run by sending one copy twice."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rehouse.core.model import CopyTask

ASKS = 3
"""How often a run may ask before the answer stays unknown."""


class Condition:
    """What all workers of a run know about one condition.

    Unknown never counts as honoured.
    """

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._is_honoured: bool | None = None
        self._asks = 0

    @property
    def is_honoured(self) -> bool | None:
        """Whether the endpoint honours the condition; None until known."""
        return self._is_honoured

    def find_out(self, ask: Callable[[], bool | None]) -> None:
        """Call `ask` unless the answer is known.

        One worker asks at a time, the others wait for the answer. If `ask` returns None or raises, the next worker asks.
        """
        if self._is_honoured is not None:
            return
        with self._asking:
            if self._is_honoured is None and self._asks < ASKS:
                self._asks += 1
                answer = ask()
                if self._is_honoured is None:  # else `note_unguarded` was called meanwhile
                    self._is_honoured = answer

    def note_unguarded(self) -> None:
        """Note that the endpoint does not support the condition; this is final."""
        self._is_honoured = False


class TargetGuard:
    """What a run knows about both conditions: `absent` (the target must not exist), `unchanged` (it has this ETag)."""

    def __init__(self) -> None:
        self.absent = Condition()
        self.unchanged = Condition()

    def of(self, task: CopyTask) -> Condition:
        """Return the condition of a copy."""
        return self.absent if task.replaces_etag is None else self.unchanged
