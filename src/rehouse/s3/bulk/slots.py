"""The limit of requests in flight, shared by all senders of a plane.

A single sender may use all slots; several get equal shares. A sender never waits for another one that is idle because its
caller is busy (or even waits for this sender). Instead it takes the slots of requests that the idle sender has not started,
and collects the idle sender's replies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Claim:
    """The slots of one sender: at most `most`, of which it holds `held` for requests in flight or about to start.

    `reclaim(seconds)` gives back as many as possible and waits at most so long for a reply. Its caller must hold `lock`.
    """

    __slots__ = ("held", "lock", "most", "reclaim")

    def __init__(self, most: int, reclaim: Callable[[float], None]) -> None:
        self.most = most
        self.reclaim = reclaim
        self.held = 0
        self.lock = threading.Lock()


class Slots:
    """A number of slots that all claims together never exceed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._used = 0
        self._claims: list[Claim] = []
        self._queue: list[Claim] = []
        self._freed = threading.Condition()

    def join(self, claim: Claim) -> None:
        """Add a claim."""
        with self._freed:
            self._claims.append(claim)

    def leave(self, claim: Claim) -> None:
        """Remove a claim and free its slots."""
        with self._freed:
            self._claims.remove(claim)
            if claim in self._queue:
                self._queue.remove(claim)
        with claim.lock:  # wait until no other sender collects its replies
            self.give_back(claim, claim.held)

    def take(self, claim: Claim, wanted: int) -> int:
        """Return how many of `wanted` requests may start.

        A claim that holds no slot is queued and must call `wait`.
        """
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
        """Free slots of a claim whose requests are answered or were not sent."""
        with self._freed:
            claim.held -= slots
            self._used -= slots
            if slots and self._queue:
                self._freed.notify_all()

    def wait(self, claim: Claim, seconds: float) -> None:
        """Wait until a queued claim may get a slot, at most `seconds`."""
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
        """Return how many slots a claim may hold.

        A claim for a single request reduces the shares only while it waits.
        """
        rivals = sum(
            each is not claim and ((each.held > 0 and each.most > 1) or each in self._queue) for each in self._claims
        )
        return max(1, self._most // (1 + rivals))

    def _room(self, claim: Claim) -> int:
        """Return the free slots, without those reserved for claims that have waited longer."""
        ahead = self._queue.index(claim) if claim in self._queue else len(self._queue)
        return self._most - self._used - ahead

    def _reclaim(self, claim: Claim) -> None:
        for rival in self._claims:
            if rival is not claim and rival.held and rival.lock.acquire(blocking=False):
                try:
                    rival.reclaim(0.0)
                finally:
                    rival.lock.release()
