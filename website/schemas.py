"""JSON Schemas of what `--output json` and the streams print, made from the types: `python -m website.schemas` writes docs/schemas.

A schema allows no key that its type lacks, and requires each that it has: the tests hold every output to it.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from rehouse.cli.envelope import SCHEMA_VERSION
from rehouse.cli.main import COMMANDS
from rehouse.cli.progress import AtWork
from rehouse.core.errors import Failure
from rehouse.core.exit_status import ExitStatus
from rehouse.core.progress import Overall
from rehouse.core.tenant_state import TenantState
from rehouse.core.watching import EndedCommand, RunningCommand
from rehouse.ledger.ledger import Overview
from rehouse.operations.audit import AuditReport
from rehouse.operations.buckets.drop import DropReport
from rehouse.operations.checks.check import Check
from rehouse.operations.cleanup import BucketLeft
from rehouse.operations.finish import FinishReport
from rehouse.operations.isolation import IsolationPlan, IsolationReport
from rehouse.operations.plan import Plan
from rehouse.operations.report import ReturnReport, TenantReport
from rehouse.operations.rules import Rules
from rehouse.operations.status import DocumentError, TenantStatus
from rehouse.operations.uninstall import UninstallReport
from rehouse.operations.verify import VerifyReport
from rehouse.operations.watching import HistoryEvent
from rehouse.runtime.values import Swept

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"
DRAFT = "https://json-schema.org/draft/2020-12/schema"

ADDED: dict[type, dict[str, Any]] = {
    **{
        each: {"state": TenantState, "error_count": int}
        for each in (TenantReport, ReturnReport, FinishReport, Overview)
    },
    VerifyReport: {"is_well": bool},
    AuditReport: {"is_well": bool},
    Swept: {"dry_run": bool},
}
"""What a command prints of a report besides its fields."""

MIGRATION = {"documents_migrated": int, "this_run": int, "error_count": int, "tenants": list[TenantReport]}
ROLLBACK = {"documents_returned": int, "this_run": int, "error_count": int, "tenants": list[ReturnReport]}
VERIFICATION = {"is_well": bool, "tenants": list[VerifyReport]}
FINISH = {"dry_run": bool, "sources_removed": int, "waiting": int, "error_count": int, "tenants": list[FinishReport]}

RESULTS: dict[str, tuple[Any, ...]] = {
    "doctor": ({"checks": list[Check]},),
    "iam-policy": ({"policies": dict[str, dict[str, Any]]},),
    "plan": (Plan,),
    "rules": (Rules,),
    "status": ({"tenants": list[Overview]}, TenantStatus, {"outstanding": list[DocumentError]}),
    "verify": (VERIFICATION,),
    "verify-all": (VERIFICATION,),
    "init": ({"changed": list[str]}, {"sql": str}),
    "migrate": (MIGRATION, Plan),
    "migrate-all": (MIGRATION, Plan),
    "cutover": (MIGRATION,),
    "accept": (MIGRATION, ROLLBACK),
    "rollback": (ROLLBACK, DropReport),
    "finish": (FINISH,),
    "cleanup": ({"buckets": list[BucketLeft]},),
    "uninstall": (UninstallReport,),
    "audit": (AuditReport,),
    "isolation": (IsolationReport, IsolationPlan),
    "sweep": (Swept,),
    "config": ({"settings": dict[str, dict[Literal["value", "from"], str]]},),
}
"""The results that a command can have. The other commands print no JSON."""


def _fields(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


STREAMS: dict[str, dict[str, dict[str, Any]]] = {
    "progress-lines": {
        "progress": _fields(Overall) | {"at_work": list[AtWork]},
        "note": {"message": str},
        "log": {"at": datetime, "level": str, "message": str},
        "error": _fields(Failure),
    },
    "watch-lines": {
        "progress": {"at": datetime} | _fields(RunningCommand),
        "event": _fields(HistoryEvent),
        "ended": {"at": datetime} | _fields(EndedCommand),
        "states": {"at": datetime, "tenants_by_state": dict[TenantState, int]},
        "idle": {"at": datetime},
        "database_away": {"message": str, "hint": str},
        "database_back": {"at": datetime},
    },
}
"""The lines that `--progress json` writes on standard error, and those of `status --watch`, by `type`; its `end` is an envelope."""


def schema_of_stream(stream: str) -> dict[str, Any]:
    """Return the JSON Schema of a line of a stream."""
    made = _Schemas()
    lines = [
        _object({"type": {"const": kind}, **{name: made.of(each) for name, each in keys.items()}})
        for kind, keys in STREAMS[stream].items()
    ]
    return {"$schema": DRAFT, "title": f"rehouse {stream}", "anyOf": lines, "$defs": made.defined}


def schema_of(command: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's envelope."""
    made = _Schemas()
    results = [made.of(each) for each in RESULTS[command]]
    envelope = {
        "schema_version": {"const": SCHEMA_VERSION},
        "command": {"const": command},
        "run_id": {"type": ["string", "null"], "format": "uuid"},
        "started_at": made.of(datetime),
        "elapsed_seconds": {"type": "number", "minimum": 0},
        "exit_status": {"enum": [int(each) for each in ExitStatus]},
        "result": {"anyOf": [*results, {"type": "null"}]},
        "errors": made.of(list[Failure]),
    }
    return {"$schema": DRAFT, "title": f"rehouse {command} --output json", **_object(envelope), "$defs": made.defined}


class _Schemas:
    """The schemas of types, each class once, in `defined`."""

    def __init__(self) -> None:
        self.defined: dict[str, Any] = {}
        self._classes: dict[str, type] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """Return the schema of the JSON that `rehouse.cli.output.plain` makes of a value of this type."""
        if isinstance(kind, Mapping):
            return _object({name: self.of(each) for name, each in kind.items()})
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")):
            return self._of_class(kind)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return {"enum": [each.value for each in kind]}
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.of(each) for each in arguments]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is Counter:
            return self._of_mapping(arguments[0], int)
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return self._of_mapping(*arguments)
        if origin is tuple and Ellipsis not in arguments:
            return {"type": "array", "prefixItems": [self.of(each) for each in arguments], "items": False}
        if isinstance(origin, type) and issubclass(origin, Sequence | set | frozenset):
            return {"type": "array", "items": self.of(arguments[0])}
        return dict(_SCALARS[kind])

    def _of_mapping(self, key: Any, value: Any) -> dict[str, Any]:
        names = self.of(key)
        only = {"propertyNames": names} if "enum" in names else {}
        return {"type": "object", "additionalProperties": self.of(value), **only}

    def _of_class(self, kind: type) -> dict[str, Any]:
        if kind.__name__ not in self.defined:
            self.defined[kind.__name__], self._classes[kind.__name__] = {}, kind
            hints = typing.get_type_hints(kind)
            names = [each.name for each in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else kind._fields  # type: ignore[attr-defined]
            keys = {name: hints[name] for name in names} | ADDED.get(kind, {})
            self.defined[kind.__name__] = _object({name: self.of(each) for name, each in keys.items()})
        assert self._classes[kind.__name__] is kind, f"two classes are called {kind.__name__}"
        return {"$ref": f"#/$defs/{kind.__name__}"}


_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    Decimal: {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"},
    UUID: {"type": "string"},
    object: {},
    Any: {},
    dict: {"type": "object"},
}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def files() -> dict[Path, str]:
    """Return the files of docs/schemas with their texts."""
    schemas = {command: schema_of(command) for command in COMMANDS if command in RESULTS}
    schemas |= {stream: schema_of_stream(stream) for stream in STREAMS}
    return {FOLDER / f"{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
