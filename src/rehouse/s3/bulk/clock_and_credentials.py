"""The credentials and the clock that sign requests: frozen for each request, fetched ahead in a thread, corrected on demand.

boto3's chain refreshes a while before expiry but blocks its caller: the transfer loop must never be that caller.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from rehouse.core.errors import RehouseError
from rehouse.s3.session import Credentials, Session

logger = logging.getLogger(__name__)

KEPT_SECONDS = 30.0
MOST_SKEW_SECONDS = 900.0


class Identity:
    """Credentials from a Session, at most KEPT_SECONDS old, and the time as the server sees it."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.time) -> None:
        self._session = session
        self._clock = clock
        self._skew = 0.0
        self._credentials: Credentials | None = None
        self._fetched_at = 0.0
        self._fetching = threading.Lock()

    def now(self) -> float:
        """Return the seconds since the epoch, by the server's clock once it was told."""
        return self._clock() + self._skew

    def credentials(self) -> Credentials:
        """Return the credentials to sign with. Raises StorageRefused if the chain finds none at the first call."""
        if self._credentials is None:
            return self.renewed()
        if time.monotonic() - self._fetched_at > KEPT_SECONDS and not self._fetching.locked():
            threading.Thread(target=self._renew_ahead, name="credentials", daemon=True).start()
        return self._credentials

    def renewed(self) -> Credentials:
        """Fetch the credentials now and return them; raise StorageRefused if the chain has none."""
        with self._fetching:
            self._fetched_at = time.monotonic()
            self._credentials = self._session.credentials()
            return self._credentials

    def is_skewed(self, server: datetime | None) -> bool:
        """Return whether our time is further from the server's than S3 accepts."""
        return server is not None and abs(server.timestamp() - self.now()) > MOST_SKEW_SECONDS

    def learn(self, server: datetime | None) -> None:
        """Take the server's clock as the right one."""
        if server is not None:
            self._skew = server.timestamp() - self._clock()

    def _renew_ahead(self) -> None:
        try:
            self.renewed()
        except (
            RehouseError
        ) as error:  # the old ones may still do; if not, S3 says so and `renewed` raises where it is seen
            logger.warning("credentials could not be renewed ahead of time: %s", error.message)
