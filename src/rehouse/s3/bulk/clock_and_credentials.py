"""The credentials and the clock that sign requests.

boto3's chain refreshes credentials before they expire, but blocks its caller. The transfer loop must not block, so a thread
fetches the credentials in advance. The clock is corrected to the server's when S3 finds it wrong.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from rehouse.core.errors import RehouseError
from rehouse.s3.bulk.replies import Reply, server_time
from rehouse.s3.session import Credentials, Session

logger = logging.getLogger(__name__)

KEPT_SECONDS = 30.0
MOST_SKEW_SECONDS = 900.0


class Identity:
    """Credentials from a Session, at most KEPT_SECONDS old, and the time on the server's clock."""

    most_url_seconds: int | None = None
    """The longest that a URL may be valid with credentials like these, None if only the present ones limit it."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.time) -> None:
        self._session = session
        self._clock = clock
        self._skew = 0.0
        self._credentials: Credentials | None = None
        self._fetched_at = 0.0
        self._fetching = threading.Lock()

    def now(self) -> float:
        """Return the seconds since the epoch, on the server's clock once that is known."""
        return self._clock() + self._skew

    def credentials(self) -> Credentials:
        """Return the credentials to sign with.

        The first call raises StorageRefused if the chain finds none.
        """
        if self._credentials is None:
            return self.renew()
        if time.monotonic() - self._fetched_at > KEPT_SECONDS and not self._fetching.locked():
            threading.Thread(target=self._renew_ahead, name="credentials", daemon=True).start()
        return self._credentials

    def renew(self) -> Credentials:
        """Fetch the credentials now and return them.

        Raises StorageRefused if the chain finds none.
        """
        with self._fetching:
            self._fetched_at = time.monotonic()
            self._credentials = self._session.credentials()
            return self._credentials

    def is_skewed(self, server: datetime | None) -> bool:
        """Return whether our clock differs from the server's by more than S3 accepts."""
        return server is not None and abs(server.timestamp() - self.now()) > MOST_SKEW_SECONDS

    def may_be_why(self, method: str, reply: Reply) -> bool:
        """Return whether a request may have failed because of an expired token or a wrong clock.

        S3 names them in the body, except in answers to HEAD, which have none.
        """
        if method != "HEAD" or reply.errno:
            return False
        return reply.status == 400 or (reply.status == 403 and self.is_skewed(server_time(reply.headers())))

    def learn(self, server: datetime | None) -> None:
        """Adopt the server's clock."""
        if server is not None:
            self._skew = server.timestamp() - self._clock()

    def _renew_ahead(self) -> None:
        try:
            self.renew()
        except RehouseError as error:
            # The old ones may still work. If not, S3 refuses them, and then `renewed` raises.
            logger.warning("credentials could not be renewed ahead of time: %s", error.message)
