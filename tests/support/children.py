"""Work in a forked child, which can neither go on with the parent's test nor hang for ever."""

from __future__ import annotations

import faulthandler
import os
import sys
import traceback
from collections.abc import Callable

LONGEST_SECONDS = 120
"""After so long a child prints the stack of each of its threads and ends: a lock of another thread stays locked after a fork."""


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child.

    Return its exit status: 0 if `work` returned something true or None, 3 if something false, 1 if it raised or hung; negative: the
    signal that killed the child.
    """
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True, file=sys.__stderr__)
        status = 1
        try:
            found = work()
            status = 0 if found is None or found else 3
        except BaseException:  # noqa: BLE001 - nothing of the test may go on in the child
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
