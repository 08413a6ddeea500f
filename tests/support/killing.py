"""A deed in a child process that ends itself at its n-th call into the ledger or S3, without a word, as SIGKILL does."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from tests.support.children import in_child

WATCHED = ("/rehouse/ledger/", "/rehouse/s3/")


def in_a_child(deed: Callable[[], object], killed_at: int) -> bool:
    """Do it in a child; return whether it was killed on the way. Fails if it ended in any other way than well."""

    def work() -> None:
        _die_at(killed_at)
        deed()

    status = in_child(work)
    assert status in {0, -signal.SIGKILL}, "the command failed, or hung"
    return status != 0


def _die_at(count: int) -> None:
    """Kill this process at its n-th call into the ledger or S3, from whatever thread."""
    calls = itertools.count(1)

    def look(frame: FrameType, event: str, _: object) -> None:
        is_watched = event == "call" and any(room in frame.f_code.co_filename for room in WATCHED)
        if is_watched and next(calls) >= count:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(look)
    sys.setprofile(look)
