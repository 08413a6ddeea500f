"""A normal form for each bucket setting, so that equal settings compare equal whatever S3 reorders or adds.

These functions never raise: for any document that an endpoint returns, they return a value that can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def normalise(setting: str, document: Any) -> Any:
    """Return `document` in the normal form of its setting.

    Lists whose order does not matter become sets, and members that S3 adds are dropped.
    """
    if not isinstance(document, Mapping):
        return {"Statement": {}} if setting == "policy" else {}
    forms: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "policy": _policy,
        "lifecycle": _lifecycle,
        "cors": _cors,
        "encryption": _encryption,
        "ownership": lambda found: _freeze([rule.get("ObjectOwnership") for rule in _rules(found, "Rules")]),
        "versioning": lambda found: found.get("Status"),
        "logging": _logging,
        "metrics": lambda found: (found.get("Id"), found.get("Filter") or None),
    }
    return forms.get(setting, dict)(document)


def statements(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the statements of a bucket policy, as a list even if the policy holds a single one without a list."""
    return _rules(policy, "Statement")


def _policy(document: Mapping[str, Any]) -> Any:
    by_sid: dict[str, Any] = {}
    for position, statement in enumerate(statements(document)):
        by_sid[str(statement.get("Sid") or f"#{position}")] = {
            "Effect": statement.get("Effect"),
            "Principal": _principal(statement.get("Principal")),
            "Action": _freeze(_as_list(statement.get("Action"))),
            "Resource": _freeze(_as_list(statement.get("Resource"))),
            "Condition": _conditions(statement.get("Condition")),
        }
    return {"Statement": by_sid}


def _principal(principal: Any) -> Any:
    if isinstance(principal, Mapping):
        return {kind: _freeze(_as_list(names)) for kind, names in principal.items()}
    return {"AWS": _freeze(_as_list(principal))}


def _conditions(conditions: Any) -> Any:
    if not isinstance(conditions, Mapping):
        return {}
    return {
        (operator, str(key).lower()): _freeze(_condition_value(operator, value) for value in _as_list(values))
        for operator, tests in conditions.items()
        if isinstance(tests, Mapping)
        for key, values in tests.items()
    }


def _condition_value(operator: str, value: Any) -> str:
    return str(value).lower() if operator in {"Bool", "Null"} else str(value)


def _lifecycle(document: Mapping[str, Any]) -> Any:
    return _freeze(_canonical_json(_lifecycle_rule(rule)) for rule in _rules(document, "Rules"))


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    body = {
        key: value for key, value in rule.items() if key not in {"ID", "Filter", "Prefix"} and value not in ({}, [])
    }
    scope = rule.get("Filter")
    scope = dict(scope) if isinstance(scope, Mapping) else {"Prefix": rule.get("Prefix", "")}
    scope = {key: value for key, value in scope.items() if value not in ("", None)}
    return {**body, "Filter": scope}


def _cors(document: Mapping[str, Any]) -> Any:
    return _freeze(_canonical_json(_cors_rule(rule)) for rule in _rules(document, "CORSRules"))


def _cors_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    lists = {name: sorted(map(str, _as_list(rule.get(name)))) for name in ("AllowedOrigins", "AllowedMethods")}
    headers = {
        name: sorted(str(value).lower() for value in _as_list(rule.get(name)))
        for name in ("AllowedHeaders", "ExposeHeaders")
    }
    return {**lists, **headers, "MaxAgeSeconds": rule.get("MaxAgeSeconds")}


def _encryption(document: Mapping[str, Any]) -> Any:
    return _freeze(_encryption_rule(rule) for rule in _rules(document, "Rules"))


def _encryption_rule(rule: Mapping[str, Any]) -> Any:
    default = rule.get("ApplyServerSideEncryptionByDefault")
    default = default if isinstance(default, Mapping) else {}
    algorithm, key = default.get("SSEAlgorithm"), default.get("KMSMasterKeyID")
    # Without KMS the bucket key has no meaning, and endpoints return different values for it.
    return algorithm, key, bool(rule.get("BucketKeyEnabled")) if key else False


def _logging(document: Mapping[str, Any]) -> Any:
    form = document.get("TargetObjectKeyFormat")
    partitioned = form.get("PartitionedPrefix") if isinstance(form, Mapping) else None
    source = partitioned.get("PartitionDateSource") if isinstance(partitioned, Mapping) else None
    return document.get("TargetBucket"), document.get("TargetPrefix"), source


def _rules(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [rule for rule in _as_list(document.get(name)) if isinstance(rule, Mapping)]


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]


def _freeze(values: Iterable[Any]) -> frozenset[Any]:
    return frozenset(value if isinstance(value, str | tuple) else str(value) for value in values)


def _canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
