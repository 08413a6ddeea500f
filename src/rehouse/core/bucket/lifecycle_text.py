"""What lifecycle rules do to a bucket, in words, the worst first.

These functions never raise, whatever rules an endpoint returns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from enum import IntEnum
from typing import Any, NamedTuple

from rehouse.core.archiving import ARCHIVED_CLASSES
from rehouse.core.bucket.documents import TEMPORARY_PREFIX, Document
from rehouse.core.escaping import count_noun


class Harm(IntEnum):
    """What an action does, the worst first."""

    DELETES_ALL = 0
    DELETES_SOME = 1
    DELETES_VERSIONS = 2
    UNKNOWN = 3
    ARCHIVES = 4
    MOVES = 5
    DELETES_TEMPORARY = 6
    TIDIES = 7


DELETING = frozenset({Harm.DELETES_ALL, Harm.DELETES_SOME})


class Effect(NamedTuple):
    """One thing that a rule does: how bad it is, and the sentence whose subject is the rule."""

    harm: Harm
    sentence: str


_ACTIONS = (
    "Expiration",
    "NoncurrentVersionExpiration",
    "Transitions",
    "NoncurrentVersionTransitions",
    "AbortIncompleteMultipartUpload",
)
_NO_ACTIONS = frozenset({"ID", "Status", "Filter", "Prefix"})


def rules_in(document: Any) -> list[Mapping[str, Any]]:
    """Return the rules of a lifecycle configuration."""
    rules = document.get("Rules") if isinstance(document, Mapping) else None
    listed = rules if isinstance(rules, list | tuple) else [rules]
    return [rule for rule in listed if isinstance(rule, Mapping)]


def effects(rule: Document, noun: str = "document") -> tuple[Effect, ...]:
    """Return what a rule does, the worst first; a disabled rule does nothing. By action and filter (S3 API, LifecycleRule):

    | action                                        | below      | harm              | sentence |
    |-----------------------------------------------|------------|-------------------|----------|
    | Expiration Days 1                             |            | deletes_all       | deletes every document 1 day after its upload |
    | Expiration Date 2027-01-01                    |            | deletes_all       | deletes every document from 2027-01-01 on |
    | Expiration Days 1                             | documents/ | deletes_some      | deletes every document below "documents/" 1 day after its upload |
    | Expiration Days 1                             | temp/      | deletes_temporary | deletes every object below "temp/" 1 day after its upload |
    | Expiration ExpiredObjectDeleteMarker true     |            | tidies            | removes delete markers that hide no version |
    | NoncurrentVersionExpiration NoncurrentDays 30 |            | deletes_versions  | deletes every old version 30 days after it was replaced |
    | NoncurrentVersionExpiration NoncurrentDays 30 | temp/      | deletes_temporary | deletes every old version below "temp/" 30 days after it was replaced |
    | Transitions StorageClass DEEP_ARCHIVE         |            | archives          | moves every document to DEEP_ARCHIVE, where it cannot be read before it is restored |
    | Transitions StorageClass STANDARD_IA          |            | moves             | moves every document to STANDARD_IA |
    | NoncurrentVersionTransitions StorageClass GLACIER |        | moves             | moves every old version to GLACIER |
    | AbortIncompleteMultipartUpload DaysAfterInitiation 7 |     | tidies            | aborts unfinished uploads after 7 days |
    | Shred Days 1                                  |            | unknown           | does what rehouse does not know: Shred {"Days": 1} |
    """  # noqa: E501
    if rule.get("Status") == "Disabled":
        return ()
    scope, is_temporary = _scope(rule)
    everything = f"every {'object' if is_temporary else noun}{scope}"
    found = [
        *_expiration(rule.get("Expiration"), scope, everything),
        *_old_versions(rule.get("NoncurrentVersionExpiration"), scope),
        *(effect for each in _as_list(rule.get("Transitions")) for effect in _transition(each, everything)),
        *(effect for each in _as_list(rule.get("NoncurrentVersionTransitions")) for effect in _old_moves(each, scope)),
        *_upload_aborts(rule.get("AbortIncompleteMultipartUpload"), scope),
    ]
    found += [
        Effect(Harm.UNKNOWN, f"does what rehouse does not know: {name} {_json(rule[name])}")
        for name in sorted(map(str, rule.keys() - _NO_ACTIONS - set(_ACTIONS)))
    ]
    if is_temporary:
        deleting = DELETING | {Harm.DELETES_VERSIONS}
        found = [each._replace(harm=Harm.DELETES_TEMPORARY) if each.harm in deleting else each for each in found]
    return tuple(sorted(found))


class Comparison(NamedTuple):
    """The differences between the rules that were found and those that must be there, as lines of text.

    `harm`: the worst effect of a rule that must not be there, or None. `keeps_documents`: no rule that must be there deletes every
    object; the rule for access logs does.
    """

    lines: tuple[str, ...]
    harm: Harm | None
    keeps_documents: bool


def compare_rules(expected: Any, found: Any) -> Comparison:
    """Compare rules: list the effects that must not be there, the worst first, then the effects that are missing.

    Rules are compared by what they do, not by their names: two rules with the same effect are equal.
    """
    keeps_documents = all(each.harm is not Harm.DELETES_ALL for rule in rules_in(expected) for each in effects(rule))
    noun = "document" if keeps_documents else "object"
    wanted = [effect for rule in rules_in(expected) for effect in effects(rule, noun)]
    done = [
        (effect, _name(rule, number))
        for number, rule in enumerate(rules_in(found), 1)
        for effect in effects(rule, noun)
    ]
    unwanted = sorted(each for each in done if each[0] not in wanted)
    missing = [each for each in wanted if each not in {effect for effect, _ in done}]
    lines = [f"{name} {effect.sentence}: it must not be there" for effect, name in unwanted]
    lines += [f"missing: a rule that {effect.sentence}" for effect in missing]
    return Comparison(tuple(lines), min((effect.harm for effect, _ in unwanted), default=None), keeps_documents)


def _expiration(action: Any, scope: str, everything: str) -> Iterator[Effect]:
    if not isinstance(action, Mapping):
        return
    if action.get("ExpiredObjectDeleteMarker"):
        yield Effect(Harm.TIDIES, f"removes delete markers{scope} that hide no version")
    if action.keys() - {"ExpiredObjectDeleteMarker"}:
        harm = Harm.DELETES_SOME if scope else Harm.DELETES_ALL
        yield Effect(harm, f"deletes {everything}{_date_or_age(action, 'its upload')}")


def _old_versions(action: Any, scope: str) -> Iterator[Effect]:
    if isinstance(action, Mapping) and action:
        kept = action.get("NewerNoncurrentVersions")
        but = f", except the {kept} newest of each document" if kept else ""
        sentence = f"deletes every old version{scope}{_date_or_age(action, 'it was replaced')}{but}"
        yield Effect(Harm.DELETES_VERSIONS, sentence)


def _transition(action: Any, everything: str) -> Iterator[Effect]:
    if isinstance(action, Mapping) and action:
        target = str(action.get("StorageClass"))
        sentence = f"moves {everything} to {target}{_date_or_age(action, 'its upload')}"
        if target in ARCHIVED_CLASSES:
            yield Effect(Harm.ARCHIVES, f"{sentence}, where it cannot be read before it is restored")
        else:
            yield Effect(Harm.MOVES, sentence)


def _old_moves(action: Any, scope: str) -> Iterator[Effect]:
    if isinstance(action, Mapping) and action:
        when = _date_or_age(action, "it was replaced")
        yield Effect(Harm.MOVES, f"moves every old version{scope} to {action.get('StorageClass')}{when}")


def _upload_aborts(action: Any, scope: str) -> Iterator[Effect]:
    if isinstance(action, Mapping) and action:
        days = action.get("DaysAfterInitiation")
        yield Effect(Harm.TIDIES, f"aborts unfinished uploads{scope} after {_days(days)}")


def _date_or_age(action: Mapping[str, Any], since: str) -> str:
    days = action.get("Days", action.get("NoncurrentDays"))
    if days is not None:
        return f" {_days(days)} after {since}"
    day = action.get("Date")
    if day is None:
        return ""
    return f" from {day.isoformat()[:10] if isinstance(day, date) else str(day)[:10]} on"


def _days(days: Any) -> str:
    return count_noun(days, "day") if isinstance(days, int) else f"{days} days"


def _scope(rule: Document) -> tuple[str, bool]:
    """Return which objects a rule is for, as words after a noun (empty: all), and whether these are temporary files only."""
    filtered = rule.get("Filter")
    filtered = dict(filtered) if isinstance(filtered, Mapping) else {"Prefix": rule.get("Prefix", "")}
    inner = filtered.pop("And", None)
    filtered |= inner if isinstance(inner, Mapping) else {}
    prefix = filtered.pop("Prefix", None) or ""
    told = [f" below {_json(prefix)}"] if prefix else []
    told += [f" with the tag {_json(tag)}" for tag in _tags(filtered)]
    for name, word in (("ObjectSizeGreaterThan", "larger"), ("ObjectSizeLessThan", "smaller")):
        size = filtered.pop(name, None)
        told += [f" {word} than {_json(size)} bytes"] if size is not None else []
    told += [f" that match {_json({name: value})}" for name, value in sorted(filtered.items(), key=str) if value]
    return " and".join(told), str(prefix).startswith(TEMPORARY_PREFIX)


def _tags(filtered: dict[str, Any]) -> Iterable[str]:
    tags = [*_as_list(filtered.pop("Tag", None)), *_as_list(filtered.pop("Tags", None))]
    return [f"{each.get('Key')}={each.get('Value')}" if isinstance(each, Mapping) else str(each) for each in tags]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _name(rule: Document, number: int) -> str:
    return f"the rule {_json(rule['ID'])}" if rule.get("ID") else f"rule {number} (without a name)"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
