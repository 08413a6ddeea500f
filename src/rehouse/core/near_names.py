"""Find the names that somebody may have meant by a name that does not exist: only similar ones, ignoring case."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

CUTOFF = 0.7
"""How similar two names must be, from 0 to 1; one or two of five letters may differ (`difflib.SequenceMatcher.ratio`)."""


def near_names(wrong: str, names: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the names that are similar to `wrong`, the most similar first; if some differ by case alone, only these.

    >>> near_names("ACME-CROP", ["acme-corp", "globex", "initech"])
    ['acme-corp']
    >>> near_names("nobody", ["acme-corp", "globex", "initech"])
    []
    """
    folded: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        folded.setdefault(name.casefold(), []).append(name)
    if same := folded.get(wrong.casefold()):
        return same[:most]
    close = difflib.get_close_matches(wrong.casefold(), folded, n=most, cutoff=CUTOFF)
    return [name for each in close for name in folded[each]][:most]
