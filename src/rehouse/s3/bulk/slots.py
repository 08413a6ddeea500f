"""The one ceiling of requests in flight, shared by everything that a plane sends at once.

Whoever sends alone may have all of it; several get equal shares. Nobody waits for a rival whose caller is busy elsewhere
(or waits for this very sender): a rival that drives nothing just now gives up what it has not begun, and its replies are
brought home for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Claim:
    """One sender's place under the ceiling: at most `most` at once, `held` of them now, whether in flight or not yet begun.

    `reclaim(seconds)` gives back what it can, waiting at most so long for a reply; whoever calls it has the `lock`.
    """

    __slots__ = ("held", "lock", "most", "reclaim")

    def __init__(self, most: int, reclaim: Callable[[float], None]) -> None:
        self.most = most
        self.reclaim = reclaim
        self.held = 0
        self.lock = threading.Lock()


class Slots:
    """`most` slots; never are more held, by however many claims."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._claims: list[Claim] = []
        self._queue: list[Claim] = []
        self._freed = threading.Condition()

    def join(self, claim: Claim) -> None:
        """Let a claim take part."""
        with self._freed:
            self._claims.append(claim)

    def leave(self, claim: Claim) -> None:
        """End a claim: what it holds is free."""
        with self._freed:
            self._claims.remove(claim)
            if claim in self._queue:
                self._queue.remove(claim)
        with claim.lock:  # until nobody brings its replies home any more
            self.give_back(claim, claim.held)

    def take(self, claim: Claim, wanted: int) -> int:
        """Return how many of `wanted` requests may start. A claim without any is then in a queue: it is to `wait`."""
        with self._freed:
            wanted = min(wanted, self._share(claim) - claim.held)
            if wanted > self._room(claim):
                self._reclaim(claim)
            granted = max(0, min(wanted, self._room(claim)))
            claim.held += granted
            self._used += granted
            if granted and claim in self._queue:
                self._queue.remove(claim)
            elif not claim.held and claim not in self._queue:
                self._queue.append(claim)
            return granted

    def give_back(self, claim: Claim, slots: int) -> None:
        """Free slots of a claim: what they were taken for is answered, or was not sent."""
        with self._freed:
            claim.held -= slots
            self._used -= slots
            if slots and self._queue:
                self._freed.notify_all()

    def wait(self, claim: Claim, seconds: float) -> None:
        """Return when a claim without any may get a slot, at the latest after `seconds`."""
        with self._freed:
            if self._room(claim) > 0:
                return
            rival = next((each for each in self._claims if each.held and each.lock.acquire(blocking=False)), None)
            if rival is None:
                self._freed.wait(seconds)
                return
        try:
            rival.reclaim(seconds)
        finally:
            rival.lock.release()

    def _share(self, claim: Claim) -> int:
        """Return what a claim may hold. Claims of one request at a time make nobody's share smaller unless they wait."""
        rivals = sum(
            each is not claim and ((each.held > 0 and each.most > 1) or each in self._queue) for each in self._claims
        )
        return max(1, self._most // (1 + rivals))

    def _room(self, claim: Claim) -> int:
        """Return the free slots without those of the claims that have waited for longer."""
        ahead = self._queue.index(claim) if claim in self._queue else len(self._queue)
        return self._most - self._used - ahead

    def _reclaim(self, claim: Claim) -> None:
        for rival in self._claims:
            if rival is not claim and rival.held and rival.lock.acquire(blocking=False):
                try:
                    rival.reclaim(0.0)
                finally:
                    rival.lock.release()
