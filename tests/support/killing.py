"""A deed in a child process that ends itself at its n-th call into the ledger or S3, without a word, as SIGKILL does."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType

WATCHED = ("/rehouse/ledger/", "/rehouse/s3/")


def in_a_child(deed: Callable[[], object], killed_at: int) -> bool:
    """Do it in a child; return whether it was killed on the way. Fails if it ended in any other way than well."""
    child = os.fork()
    if child == 0:
        try:
            _die_at(killed_at)
            deed()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - nothing of the test may go on in the child
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the command failed"
    return os.WIFSIGNALED(status)


def _die_at(count: int) -> None:
    """Kill this process at its n-th call into the ledger or S3, from whatever thread."""
    calls = itertools.count(1)

    def look(frame: FrameType, event: str, _: object) -> None:
        is_watched = event == "call" and any(room in frame.f_code.co_filename for room in WATCHED)
        if is_watched and next(calls) >= count:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(look)
    sys.setprofile(look)
