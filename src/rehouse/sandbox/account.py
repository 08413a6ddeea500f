"""The account that PostgreSQL runs as: `nobody` if rehouse runs as root, which PostgreSQL refuses, else our own.

If `nobody` cannot enter the folder (for example below a 0700 home), a user namespace maps root to an ordinary user. If
`nobody` only cannot reach the binaries, they are copied beside the data.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehouse.core.errors import Refused

NOBODY = 65534
_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True, slots=True)
class Account:
    """How to run a program: as `uid` (None: our own), with `prefix` before its command line."""

    uid: int | None = None
    prefix: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """Return the arguments for `subprocess` that switch to this account."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}


def private_folder(folder: Path) -> Path:
    """Create `folder` for servers and return it.

    Private, but 0711 for root, so that PostgreSQL as `nobody` can enter.
    """
    folder.mkdir(mode=0o700, parents=True)
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder


def account_for(folder: Path) -> Account:
    """Return an account that PostgreSQL can use in `folder`.

    Raises Refused if there is none.
    """
    if os.geteuid() != 0:
        return Account()
    if is_reachable(folder):
        return Account(uid=NOBODY)
    if _is_working((*_NAMESPACE, "true")):
        return Account(prefix=_NAMESPACE)
    raise Refused(
        f"PostgreSQL does not run as root, and no other account can enter {folder}",
        hint="choose a folder that everybody can enter, such as one below /tmp, or run as a normal user",
        subject=str(folder),
    )


def installation_for(account: Account, package: Path, folder: Path) -> Path:
    """Return the `pginstall` folder to run: the package's own, or a copy in `folder` that `account` can reach."""
    original = package / "pginstall"
    if account.uid is None or is_reachable(original / "bin" / "postgres"):
        return original
    copy = folder / package.name / "pginstall"
    if not copy.exists():
        for part in ("bin", "lib", "share"):
            shutil.copytree(original / part, copy / part, symlinks=True)
        libraries = package.with_name(package.name + ".libs")  # the binaries find them by a relative path
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        hand_over([folder / package.name, folder / libraries.name], account)
    return copy


def hand_over(paths: Sequence[Path], account: Account) -> None:
    """Make `account` the owner of the files and folders and everything in them."""
    if account.uid is None:
        return
    for path in paths:
        for each in (path, *path.rglob("*")):
            os.chown(each, account.uid, account.uid, follow_symlinks=False)


def is_reachable(path: Path) -> bool:
    """Return whether every user may enter all parent folders of `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def _is_working(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603
    except OSError:
        return False
