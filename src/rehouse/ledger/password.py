"""The database's password from a command, for passwords that expire: tokens of RDS IAM, Vault's and the like.

The command is run anew for every connection, without a shell. What it prints is the password and is in no message; what it
writes to standard error goes to the operator's terminal, not through rehouse.
"""

from __future__ import annotations

import shlex
import subprocess

from rehouse.core.errors import DatabaseRefused, TryAgain

SECONDS = 30
SETTING = "REHOUSE_DATABASE_PASSWORD_COMMAND"


def ask_password(command: str) -> str:
    """Return the first line that the command prints.

    Raises DatabaseRefused if it fails or prints nothing, TryAgain if it takes longer than SECONDS.
    """
    words = shlex.split(command)
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            words, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=SECONDS
        )
    except OSError as error:
        raise _failed(words[0], f"cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise TryAgain(
            f"{SETTING}: {words[0]} printed no password within {SECONDS} seconds", hint="run it by itself to see why"
        ) from None
    if done.returncode != 0:
        raise _failed(words[0], f"ended with status {done.returncode}")
    try:
        password = next(iter(done.stdout.decode().splitlines()), "")
    except UnicodeDecodeError:
        raise _failed(words[0], "printed what is not UTF-8") from None
    if not password:
        raise _failed(words[0], "printed no password")
    return password


def _failed(program: str, what: str) -> DatabaseRefused:
    return DatabaseRefused(
        f"{SETTING}: {program} {what}", hint="run it by itself: the first line that it prints is the password"
    )
