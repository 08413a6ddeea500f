"""Get the database's password from a command, for passwords that expire, such as tokens of RDS IAM or Vault.

The command runs for every connection, without a shell. Its output is the password, which no message contains. Its standard
error goes directly to the operator's terminal.
"""

from __future__ import annotations

import shlex
import subprocess

from rehouse.core.errors import DatabaseRefused, TryAgain

SECONDS = 30
SETTING = "REHOUSE_DATABASE_PASSWORD_COMMAND"


def ask_password(command: str) -> str:
    """Return the first line of the command's output.

    Raises DatabaseRefused if it fails or prints nothing, TryAgain if it takes longer than SECONDS seconds.
    """
    words = shlex.split(command)
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command
            words, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=SECONDS
        )
    except OSError as error:
        raise _password_error(words[0], f"cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise TryAgain(
            f"{SETTING}: {words[0]} printed no password within {SECONDS} seconds",
            hint="run it by itself to see why",
            subject="database_password_command",
        ) from None
    if done.returncode != 0:
        raise _password_error(words[0], f"ended with status {done.returncode}")
    try:
        password = next(iter(done.stdout.decode().splitlines()), "")
    except UnicodeDecodeError:
        raise _password_error(words[0], "printed a text that is not UTF-8") from None
    if not password:
        raise _password_error(words[0], "printed no password")
    return password


def _password_error(program: str, what: str) -> DatabaseRefused:
    return DatabaseRefused(
        f"{SETTING}: {program} {what}",
        hint="run it by itself: the first line that it prints is the password",
        subject="database_password_command",
    )
