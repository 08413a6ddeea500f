"""Shell completion of tenants, within 300 ms: from a file of names if it is recent, else from the database.

A child process asks the database. If the database does not answer in time, the shell gets the old names, or none. The child
continues for a few seconds, so that the next completion finds recent names. Completion prints names only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rehouse.core.completion import (
    LEAST_SECONDS,
    LIMIT_SECONDS,
    drop_equals_signs,
    identity,
    is_completable,
    is_fresh,
    matching_names,
)

INSTRUCTION = "_REHOUSE_COMPLETE"
"""The variable by which the shell asks for completion."""
LONGEST_SECONDS = 5
"""How long the child may continue after the shell got its answer."""
KEPT_SECONDS = 30 * 24 * 3600
_END = b"\0"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of tenants, and how old they are."""

    names: Sequence[str]
    age_seconds: float


def offer_tenants(incomplete: str) -> list[str]:
    """Return the tenants whose slugs (or ids) begin with what was typed."""
    deadline = time.monotonic() + max(LIMIT_SECONDS - seconds_since_start(), LEAST_SECONDS)
    path = cache_path()
    cached = read_cache(path) if path else None
    if cached and is_fresh(cached.age_seconds) and (found := matching_names(cached.names, incomplete)):
        return found
    names = _ask(path, incomplete, deadline)
    return matching_names(names if names is not None else cached.names if cached else (), incomplete)


def offer_codes(incomplete: str) -> list[str]:
    """Return the codes of failures that begin with what was typed."""
    from rehouse.core.failure_codes import OWN

    return matching_names(OWN, incomplete)


def prepare() -> bool:
    """Return whether the shell asks for completion; if so, rejoin the words that bash split at `=`."""
    instruction = os.environ.get(INSTRUCTION, "")
    words, current = os.environ.get("COMP_WORDS", ""), os.environ.get("COMP_CWORD", "")
    if instruction == "complete_bash" and "\n" in words and current.isdigit():
        joined, number = drop_equals_signs(words.split("\n"), int(current))
        os.environ |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(number)}
    return instruction.startswith("complete_")


def seconds_since_start() -> float:
    """Return the seconds since this process began, or its CPU time if the system does not know when it began."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf(
            "SC_CLK_TCK"
        )  # proc(5): starttime
    except (OSError, ValueError, IndexError):
        return time.process_time()


def cache_path() -> Path | None:
    """Return the path of the cache file for this database's tenants; None if there can be none."""
    path = Path(os.environ.get("REHOUSE_CONFIG") or "rehouse.toml")
    try:
        state = path.stat()
        settings_file = f"{path.resolve()} {state.st_mtime_ns} {state.st_size}"
    except OSError:
        settings_file = ""
    name, folder = identity(os.environ, settings_file), _cache_folder()
    return folder / f"tenants-{name}" if name and folder else None


def _cache_folder() -> Path | None:
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (given if given.is_absolute() else Path.home() / ".cache") / "rehouse"
    except RuntimeError:  # this user has no home
        return None


def read_cache(path: Path) -> Names | None:
    """Return the names in the file; None if it cannot be read."""
    try:
        return Names(path.read_text(encoding="utf-8").splitlines(), time.time() - path.stat().st_mtime)
    except (OSError, UnicodeDecodeError):
        return None


def write_cache(path: Path, names: Sequence[str]) -> None:
    """Write the names to a file that only its owner can read, in a folder that only its owner can enter.

    Removes files of the folder that are more than a month old.
    """
    path.parent.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.chmod(0o700)
    new = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in names)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    for each in path.parent.iterdir():
        if each.stat().st_mtime < time.time() - KEPT_SECONDS:
            each.unlink(missing_ok=True)


def _ask(path: Path | None, incomplete: str, deadline: float) -> list[str] | None:
    """Ask the database for the names in a child process; return None if it does not answer before the deadline."""
    import select

    reader, writer = os.pipe()
    if os.fork() == 0:
        _answer(path, incomplete, writer)
    os.close(writer)
    answer = b""
    while not answer.endswith(_END):
        ready, _, _ = select.select([reader], [], [], max(deadline - time.monotonic(), 0))
        part = os.read(reader, 1 << 16) if ready else b""
        if not part:
            return None
        answer += part
    return answer.removesuffix(_END).decode().splitlines()


def _answer(path: Path | None, incomplete: str, writer: int) -> NoReturn:
    """Send the names of the database's tenants to the parent process and cache them. Prints nothing, whatever happens."""
    import signal
    import threading

    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):  # the shell waits until its pipe is closed, and errors must not be printed
            os.dup2(nowhere, stream)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_SECONDS + 1)  # ends the child even if none of its threads can run
        ending = threading.Timer(LONGEST_SECONDS, os.killpg, (0, signal.SIGKILL))  # ends the password command as well
        ending.daemon = True
        ending.start()
        names = _ask_database()
        if names is not None:
            with suppress(BrokenPipeError):  # the shell no longer waits
                os.write(writer, "\n".join(matching_names(names, incomplete)).encode() + _END)
            if path is not None:
                write_cache(path, names)
    finally:
        os._exit(0)


def _ask_database() -> list[str] | None:
    """Return the names of the database's tenants, or None if a settings file names a command that prints the password.

    The file may belong to somebody else, so completion must not run a command that it names.
    """
    from rehouse import config
    from rehouse.ledger.tenant_names import tenant_names

    settings = config.load()
    origin = settings.origins.get("database_password_command")
    if origin and origin not in config.variables("database_password_command"):
        return None
    return [name for name in tenant_names(settings) if is_completable(name)]
