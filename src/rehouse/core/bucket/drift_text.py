"""A bucket's drift as text: what a setting is, what it must be, and why it matters.

These functions never raise, whatever document an endpoint returned. Foreign tags, foreign policy statements and members that
S3 adds are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rehouse.core.bucket.documents import OURS
from rehouse.core.bucket.lifecycle_text import DELETING, Harm, compare_rules
from rehouse.core.bucket.spec import Drift

WHY: Mapping[str, str] = {
    "public_access_block": "without it one wrong policy or ACL makes a tenant's documents public",
    "ownership": "without it the ACL of an object can make it public, whatever the bucket's policy says",
    "policy": "it denies requests without TLS and uploads under another encryption",
    "encryption": "it sets the default encryption key of uploads",
    "versioning": "without it an overwrite or a deletion destroys the object at once",
    "lifecycle": "without these rules old versions, temporary files and unfinished uploads are kept, and billed, for ever",
    "cors": "browsers may use presigned URLs from these origins only; another origin lets a foreign page use a stolen URL",
    "logging": "access logs show who read which document",
    "tags": "they show whose bucket it is, and split the bill by tenant",
    "metrics": "they count the bucket's requests by the minute",
}
"""Setting → why it matters."""

WHY_OF_RULES: Mapping[Harm, str] = {
    **dict.fromkeys(
        DELETING,
        "S3 deletes documents by this rule, and downloads then fail. They can be recovered only while their old versions "
        "are kept",
    ),
    Harm.DELETES_VERSIONS: "a document that was overwritten or deleted by mistake can be recovered only until then",
    Harm.UNKNOWN: "rehouse cannot tell what S3 does to the documents by this rule",
    Harm.ARCHIVES: "a download of an archived document fails until somebody restores it, which takes hours",
    Harm.MOVES: "another storage class has other prices, and may charge for each download",
    Harm.DELETES_TEMPORARY: "temporary files are deleted at another time than the settings say",
    Harm.TIDIES: "unfinished uploads or expired delete markers are removed at another time than the settings say",
}
"""The worst effect of a rule that must not be in a tenant's bucket → why it matters."""
WHY_OF_LOG_RULES = "access logs are kept for as long as lifecycle.log_days says"

LINES = 8
VALUE_CHARACTERS = 120
_KEYS = ("Sid", "ID")


def explain_drift(drift: Drift) -> tuple[str, ...]:
    """Return what a setting is and what it must be, one line per difference, at least one.

    >>> explain_drift(Drift("versioning", {"Status": "Enabled"}, {"Status": "Suspended"}, "differs"))
    ('Status is "Suspended", must be "Enabled"',)
    """
    if drift.kind == "missing":
        return (f"it is not set, must be {_format_value(drift.expected)}",)
    if drift.kind == "unreadable":
        return ("these rights do not allow reading it",)
    if drift.kind == "not_offered":
        return ("this endpoint does not offer it",)
    lines = _lifecycle_lines(drift) or list(_lines(drift.setting, "", drift.expected, drift.found))
    more = [f"and {len(lines) - LINES} more differences"] if len(lines) > LINES else []
    return tuple(lines[:LINES] + more) or (
        f"it is {_format_value(drift.found)}, must be {_format_value(drift.expected)}",
    )


def reason_of(drift: Drift) -> str:
    """Return why a drift matters; for lifecycle rules that must not be there, why their worst effect matters."""
    if drift.setting != "lifecycle":
        return WHY[drift.setting]
    rules = compare_rules(drift.expected, drift.found)
    if rules.harm is None:
        return WHY["lifecycle"]
    return WHY_OF_RULES[rules.harm] if rules.keeps_documents else WHY_OF_LOG_RULES


def deletes_documents(drift: Drift) -> bool:
    """Return whether the drift is a lifecycle rule by which S3 deletes documents, which is the worst drift."""
    if drift.setting != "lifecycle":
        return False
    rules = compare_rules(drift.expected, drift.found)
    return rules.keeps_documents and rules.harm in DELETING


def _lifecycle_lines(drift: Drift) -> list[str]:
    return list(compare_rules(drift.expected, drift.found).lines) if drift.setting == "lifecycle" else []


def _lines(setting: str, path: str, expected: Any, found: Any) -> Iterator[str]:
    is_alone = isinstance(expected, list) and isinstance(found, Mapping)  # S3 may return one element without a list
    wanted, actual = _drop_order(expected), _drop_order([found] if is_alone else found)
    if not isinstance(wanted, Mapping) or not isinstance(actual, Mapping):
        if wanted != actual:
            yield f"{path or 'it'} is {_format_value(found)}, must be {_format_value(expected)}"
        return
    for name, value in wanted.items():
        inner = f"{path}.{name}" if path else str(name)
        if name in actual:
            yield from _lines(setting, inner, value, actual[name])
        else:
            yield f"{inner} is missing, must be {_format_value(value)}"
    for name in sorted(actual.keys() - wanted.keys(), key=str):
        if actual[name] and _is_ours(setting, path, str(name)):
            yield f"{path}.{name} is {_format_value(actual[name])}, must not be there".lstrip(".")


def _is_ours(setting: str, path: str, name: str) -> bool:
    """Return whether an unexpected member is a difference.

    Foreign tags and policy statements are not.
    """
    if setting == "policy" and path == "Statement":
        return name.startswith(OURS)
    return setting != "tags"


def _drop_order(value: Any) -> Any:
    """Make a list independent of its order: documents keyed by their name, plain values sorted."""
    if not isinstance(value, list | tuple):
        return value
    if value and all(isinstance(each, Mapping) for each in value):
        return {_name(each, position): each for position, each in enumerate(value)}
    return sorted(value, key=str)


def _name(document: Mapping[str, Any], position: int) -> str:
    named = next((document[key] for key in _KEYS if document.get(key)), None)
    return str(named) if named else f"#{position + 1}"


def _format_value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"
