"""The exit status of a command. The decision, `rehouse help exit-codes` and the docs share one table."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """How a command ended."""

    DONE = 0
    LEFT = 1
    REFUSED = 2
    QUARANTINED = 3
    NOT_CHECKED = 4
    INTERRUPTED = 130


MEANINGS = {
    ExitStatus.DONE: "done, nothing is left",
    ExitStatus.LEFT: "something is left: documents stay behind, a check failed, or S3 or the database kept failing",
    ExitStatus.REFUSED: "refused: correct something first; nothing was changed",
    ExitStatus.QUARANTINED: "done, except for documents in quarantine, which stay behind; 0 with --allow-quarantined",
    ExitStatus.NOT_CHECKED: "not everything could be checked: nothing wrong was found, and nothing is proven",
    ExitStatus.INTERRUPTED: "interrupted; what was done is saved",
}


def exit_status(
    *,
    is_well: bool,
    quarantined: int = 0,
    allow_quarantined: bool = False,
    interrupted: bool = False,
    is_checked: bool = True,
) -> ExitStatus:
    """Return the exit status of a command. The first matching line applies:

    | interrupted | is_well | is_checked | quarantined | allowed | status |
    |---|---|---|---|---|---|
    | yes | | | | | INTERRUPTED |
    | | no | | | | LEFT |
    | | | no | | | NOT_CHECKED |
    | | | | 0 | | DONE |
    | | | | some | yes | DONE |
    | | | | some | no | QUARANTINED |

    `is_well`: nothing is wrong except for documents in quarantine. `is_checked`: everything that the command had to check was
    checked.
    """
    if interrupted:
        return ExitStatus.INTERRUPTED
    if not is_well:
        return ExitStatus.LEFT
    if not is_checked:
        return ExitStatus.NOT_CHECKED
    return ExitStatus.QUARANTINED if quarantined and not allow_quarantined else ExitStatus.DONE
