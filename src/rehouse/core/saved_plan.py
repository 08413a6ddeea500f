"""A saved plan: what `rehouse plan --save` stores, and how a later migration differs from it.

A saved plan holds no document and no secret. Its size depends on the number of tenants only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from rehouse.core.escaping import count_noun
from rehouse.core.model import TenantId
from rehouse.core.naming import is_drawn_for

KIND = "rehouse plan"
SCHEMA_VERSION = 1
SETTINGS = (
    "bucket_prefix", "bucket_namespace", "region", "endpoint_url", "s3_dialect", "cors_origins", "log_bucket", "encryption",
    "source_kms_keys", "request_metrics", "upload_window_seconds", "versioning_settle_seconds", "lifecycle.noncurrent_days",
    "lifecycle.infrequent_access_days", "lifecycle.temporary_days", "lifecycle.incomplete_upload_days", "lifecycle.log_days",
    "mapping.tenants.table", "mapping.tenants.id", "mapping.tenants.slug", "mapping.tenants.name",
    "mapping.tenants.aws_bucket_name", "mapping.tenants.is_active", "mapping.documents.table", "mapping.documents.id",
    "mapping.documents.tenant_id", "mapping.documents.original_name", "mapping.documents.s3_bucket", "mapping.documents.s3_key",
    "mapping.documents.etag", "mapping.documents.size", "mapping.documents.file_size", "mapping.documents.uploaded_at",
)  # fmt: skip
"""The settings that decide the result of a migration. Pace and prices do not, so they are not part of the plan."""
NAMED = 20
"""How many names of one kind of difference the description lists."""

Subject = Literal["database", "shared_bucket", "setting", "tenant", "activity", "home_bucket", "problem"]
Expected = TypeVar("Expected")


@dataclass(frozen=True, slots=True)
class Database:
    """A database: its name, and the identifier of its cluster, None if PostgreSQL does not reveal it."""

    name: str
    system_identifier: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedTenant:
    """A tenant in a saved plan. `problems`: reason → how many documents would stay behind."""

    slug: str
    tenant_id: TenantId
    is_active: bool
    home_bucket: str
    documents: int
    to_copy: int
    to_copy_bytes: int
    problems: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan without its documents. `settings`: those of SETTINGS, as `rehouse config` shows them."""

    made_at: datetime
    database: Database
    shared_buckets: tuple[str, ...]
    settings: Mapping[str, str]
    tenants: tuple[PlannedTenant, ...]

    @property
    def problems(self) -> Counter[str]:
        """The reasons why documents stay behind, with how many do."""
        return sum((Counter(tenant.problems) for tenant in self.tenants), Counter())


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not in the plan. `then`: what the plan has instead, or None."""

    subject: Subject
    name: str
    then: str | None
    now: str


def differences(then: SavedPlan, now: SavedPlan) -> list[Difference]:
    """Return what a migration would now find or do that is not in the plan.

    | subject       | it differs if                                                                              |
    |---------------|--------------------------------------------------------------------------------------------|
    | database      | its name is another, or its cluster's identifier, where both are known                      |
    | shared_bucket | the plan lacks it, or had another as the first, which rows without a bucket mean            |
    | setting       | its value is another                                                                       |
    | tenant        | the plan lacks it                                                                          |
    | activity      | the plan has it as inactive, and it is active                                              |
    | home_bucket   | it is neither the planned one, nor a name that was drawn for the planned one               |
    | problem       | no tenant of the plan has it                                                               |

    It is not a difference if something in the plan no longer exists, or if the number of documents changed. If the database
    differs, nothing else is compared.
    """
    if _is_other_database(then.database, now.database):
        return [Difference("database", "database", _name_database(then.database), _name_database(now.database))]
    return [
        *_shared_buckets(then.shared_buckets, now.shared_buckets),
        *(
            Difference("setting", name, then.settings.get(name), value)
            for name, value in now.settings.items()
            if then.settings.get(name) != value
        ),
        *_tenants(then, now),
        *(
            Difference("problem", reason, None, str(count))
            for reason, count in sorted(now.problems.items())
            if not then.problems[reason]
        ),
    ]


def describe(found: Sequence[Difference]) -> str:
    """Return the differences as one sentence for each subject, joined by semicolons."""
    return "; ".join(_sentences(found))


def as_json(plan: SavedPlan) -> str:
    """Return the plan as the text of a file."""
    value = {"kind": KIND, "schema_version": SCHEMA_VERSION, **asdict(plan), "made_at": plan.made_at.isoformat()}
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def is_plan(text: str) -> bool:
    """Return whether a text is a saved plan of any schema version."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.get("kind") == KIND


def from_json(text: str) -> SavedPlan:
    """Parse the text of a saved plan. Raises ValueError, whose text says what is wrong with the file."""
    if not is_plan(text):
        raise ValueError("it is not a plan of rehouse")
    value = json.loads(text)
    version = value.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema version is {version}, and this rehouse reads {SCHEMA_VERSION}")
    try:
        return SavedPlan(
            made_at=datetime.fromisoformat(_take(value, "made_at", str)),
            database=_database(_take(value, "database", dict)),
            shared_buckets=tuple(_texts(_take(value, "shared_buckets", list), "shared_buckets")),
            settings=dict(
                zip(settings := _take(value, "settings", dict), _texts(settings.values(), "settings"), strict=True)
            ),
            tenants=tuple(_tenant(each) for each in _take(value, "tenants", list)),
        )
    except ValueError as error:
        raise ValueError(f"it is damaged: {error}") from None


def _is_other_database(then: Database, now: Database) -> bool:
    identifiers = {then.system_identifier, now.system_identifier} - {None}
    return then.name != now.name or len(identifiers) > 1


def _name_database(database: Database) -> str:
    return f"{database.name} (cluster {database.system_identifier or 'unknown'})"


def _shared_buckets(then: Sequence[str], now: Sequence[str]) -> Iterator[Difference]:
    for bucket in now:
        if bucket not in then:
            yield Difference("shared_bucket", bucket, None, bucket)
    if now and then and now[0] in then and now[0] != then[0]:
        yield Difference("shared_bucket", "the first", then[0], now[0])


def _tenants(then: SavedPlan, now: SavedPlan) -> Iterator[Difference]:
    planned = {str(tenant.tenant_id): tenant for tenant in then.tenants}
    for tenant in now.tenants:
        before = planned.get(str(tenant.tenant_id))
        if before is None:
            yield Difference("tenant", tenant.slug, None, tenant.slug)
            continue
        if tenant.is_active and not before.is_active:
            yield Difference("activity", tenant.slug, "inactive", "active")
        if tenant.home_bucket != before.home_bucket and not is_drawn_for(before.home_bucket, tenant.home_bucket):
            yield Difference("home_bucket", tenant.slug, before.home_bucket, tenant.home_bucket)


def _sentences(found: Sequence[Difference]) -> Iterator[str]:
    def of(subject: Subject) -> list[Difference]:
        return [each for each in found if each.subject == subject]

    for each in of("database"):
        yield f"the plan is for the database {each.then}, and this is {each.now}"
    if buckets := [each.now for each in of("shared_bucket") if each.then is None]:
        yield f"shared buckets that are not in the plan: {_name_some(buckets)}"
    for each in of("shared_bucket"):
        if each.then is not None:
            yield f"the first shared bucket, which rows without a bucket mean, was {each.then} and is now {each.now}"
    for each in of("setting"):
        yield f"the setting {each.name} was {each.then or 'empty'} and is now {each.now or 'empty'}"
    if tenants := of("tenant"):
        yield f"tenants that are not in the plan: {_name_some([each.name for each in tenants])}"
    if active := of("activity"):
        yield f"tenants that were inactive and are now active: {_name_some([each.name for each in active])}"
    if homes := of("home_bucket"):
        yield f"tenants with another bucket: {_name_some([f'{each.name} ({each.then}, now {each.now})' for each in homes])}"
    if problems := of("problem"):
        counts = _name_some([f"{each.name} ({count_noun(int(each.now), 'document')})" for each in problems])
        yield f"problems that are not in the plan: {counts}"


def _name_some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _take(value: Mapping[str, Any], name: str, expected: type[Expected]) -> Expected:
    found = value.get(name)
    if not isinstance(found, expected) or (expected is int and isinstance(found, bool)):
        raise ValueError(f"{name} is missing or of another type")
    return found


def _texts(values: Iterable[Any], name: str) -> list[str]:
    found = list(values)
    if not all(isinstance(each, str) for each in found):
        raise ValueError(f"{name} has values that are not texts")
    return found


def _database(value: Mapping[str, Any]) -> Database:
    identifier = None if value.get("system_identifier") is None else _take(value, "system_identifier", str)
    return Database(_take(value, "name", str), identifier)


def _tenant(found: object) -> PlannedTenant:
    value = _take({"a tenant": found}, "a tenant", dict)
    tenant_id = value.get("tenant_id")
    problems = _take(value, "problems", dict)
    return PlannedTenant(
        slug=_take(value, "slug", str),
        tenant_id=tenant_id if isinstance(tenant_id, str) else _take(value, "tenant_id", int),
        is_active=_take(value, "is_active", bool),
        home_bucket=_take(value, "home_bucket", str),
        documents=_take(value, "documents", int),
        to_copy=_take(value, "to_copy", int),
        to_copy_bytes=_take(value, "to_copy_bytes", int),
        problems={reason: _take(problems, reason, int) for reason in problems},
    )
