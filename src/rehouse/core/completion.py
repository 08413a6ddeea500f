"""Decide which tenant names the shell is offered, how old they may be, and to which database they belong. Pure functions.

There is one set of names for each database. Nothing that is computed here depends on a password.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping

LIMIT_SECONDS = 0.3
"""How long completion may take, from the start of the process to the answer."""
LEAST_SECONDS = 0.1
"""How long to wait for the database if the start of the process alone took longer than that."""
FRESH_SECONDS = 180.0
"""The age up to which names are offered without asking the database."""
_PARTS = frozenset(
    ["host", "hostaddr", "port", "dbname", "user", "service", "options", "schema", "currentschema", "search_path"]
)
"""The parameters of a connection string that decide which tables it leads to. None of them is a secret."""
_URLS = frozenset({"DATABASE_URL", "REHOUSE_DATABASE_URL"})
_BEGINNINGS = ("REHOUSE_MAPPING_TENANTS_", "PG")


def is_completable(name: str) -> bool:
    """Return whether every shell accepts a name without quotes.

    Names with other characters are not offered: shells split words at colons and interpret `$` and `*`.

    >>> [name for name in ("acme-corp", "Müller_2.0", "id:7", "a b", "$(reboot)", "-rf", "") if is_completable(name)]
    ['acme-corp', 'Müller_2.0']
    """
    return bool(name) and name[0].isalnum() and all(each.isalnum() or each in "-_.+/" for each in name)


def matching_names(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with what was typed and need no quotes, in order.

    >>> matching_names(["globex", "acme", "acme-2", "id:7"], "ac")
    ['acme', 'acme-2']
    """
    return sorted(name for name in names if name.startswith(incomplete) and is_completable(name))


def is_fresh(age_seconds: float) -> bool:
    """Return whether names of this age are offered without asking the database; false for a negative age.

    >>> is_fresh(1.0), is_fresh(FRESH_SECONDS + 1), is_fresh(-60.0)
    (True, False, False)
    """
    return 0 <= age_seconds <= FRESH_SECONDS


def identity(environment: Mapping[str, str], settings_file: str) -> str | None:
    """Return a digest that identifies a database and its tenants; None if the connection string is ambiguous.

    `settings_file` identifies the file of the settings and its state, for example by its path and its time of change.
    """
    parts = [settings_file]
    for name, value in sorted(environment.items()):
        if name in _URLS and value:
            found = place(value)
            if found is None:
                return None
            parts.append(f"{name}={found}")
        elif name.startswith(_BEGINNINGS) and "PASS" not in name:
            parts.append(f"{name}={value}")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def place(url: str) -> str | None:
    """Return where a connection string leads, without its password; None if it is ambiguous.

    >>> place("postgresql://me:secret@db:5432/app?sslmode=require&schema=sales")
    'me@db:5432/app?schema=sales'
    >>> place("host=db dbname=app password=secret"), place("postgresql://me:sec?ret@db/app")
    ('host=db dbname=app', None)
    """
    text = url.strip().strip("'\"")
    _, is_url, rest = text.partition("://")
    return _place_of_url(rest) if is_url else _place_of_pairs(text)


def _place_of_url(rest: str) -> str | None:
    address, _, query = rest.partition("?")
    if "@" in query:  # a password with a question mark, perhaps
        return None
    credentials, _, where = address.rpartition("@")
    hosts = re.sub(r"\[[^]]*\]", "", where.partition("/")[0]).split(",")
    if any(port and not port.isdigit() for _, _, port in (host.partition(":") for host in hosts)):
        return None
    parameters = [pair for pair in query.split("&") if pair.partition("=")[0].lower() in _PARTS]
    return f"{credentials.partition(':')[0]}@{where}?{'&'.join(parameters)}"


def _place_of_pairs(text: str) -> str | None:
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if "\\" in text or any(word.partition("=")[0] == "" or word.partition("=")[2] == "" for word in words):
        return None
    return " ".join(word for word in words if word.partition("=")[0] in _PARTS) or None


def drop_equals_signs(words: list[str], current: int) -> tuple[list[str], int]:
    """Return the words of a command line, and the index of the word being typed, as if bash did not split words at `=`.

    bash makes three words of `--only=acme`; a program gets one.

    >>> drop_equals_signs(["rehouse", "verify-all", "--only", "=", "ac"], 4)
    (['rehouse', 'verify-all', '--only', 'ac'], 3)
    """
    kept = [
        number
        for number, word in enumerate(words)
        if word != "=" or number in {0, current} or not words[number - 1].startswith("--")
    ]
    return [words[number] for number in kept], sum(1 for number in kept if number < current)
