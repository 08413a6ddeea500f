"""Read rehouse.toml and the environment into frozen Settings.

No other module reads rehouse.toml or a REHOUSE_ variable. The environment overrides rehouse.toml, which overrides the
defaults. Every setting has one path (`lifecycle.noncurrent_days`) and one variable (`REHOUSE_LIFECYCLE_NONCURRENT_DAYS`). A
few can also have the variables of PostgreSQL's and AWS's tools. An unknown key is an error that names the nearest known one.
AWS credentials are left to boto3.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from rehouse.config.sections import (
    FinishLook,
    LifecycleDays,
    Prices,
    Section,
    TableMapping,
    split_at_commas,
)
from rehouse.core.errors import ConfigurationError
from rehouse.core.mapping import ROLES
from rehouse.core.near_names import near_names
from rehouse.core.origins import check_origin
from rehouse.core.uploads import MOST_GRANT_SECONDS

FILE_NAME = "rehouse.toml"
PREFIX = "REHOUSE_"
NOTIFY_VARIABLES = ("REHOUSE_COMMAND", "REHOUSE_EXIT_STATUS", "REHOUSE_RUN_ID")
"""Variables for the command of --notify. They are not settings, but that command may call rehouse."""
MASK = "********"

KMS_KEY = r"arn:[a-z-]+:kms:[a-z0-9-]+:\d+:(key|alias)/\S+|alias/\S+|[0-9a-f-]{36}|mrk-[0-9a-f]{32}"
"""A KMS key by its ARN, its alias or its id."""
ENCRYPTION = f"^(AES256|{KMS_KEY})$"
"""AES256 (SSE-S3), or a KMS key."""

ALIASES = {
    "database_url": ("DATABASE_URL",),
    "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "bucket_prefix": ("AWS_S3_BUCKET_PREFIX",),
}
"""The variables of other tools, which are read if our own is not set."""


NOT_SETTINGS = frozenset({"origins", "overridden", "dropped_buckets"})
"""Fields of Settings that describe the settings."""
OFF_LEAVES = frozenset(
    f"mapping.{table}.{field}" for table, roles in ROLES.items() for field, role in roles.items() if role.may_be_off
)
"""Settings that an empty variable switches off. For all others an empty variable counts as not set."""


def _require_match(pattern: str, rule: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def _require_command(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"it is not a command: {error}") from None
    if not words:
        raise ValueError("it is not a command: it is empty")
    return value


BucketName = Annotated[str, _require_match(r"[A-Za-z0-9._-]{3,255}", "this is not a valid bucket name")]
BucketPrefix = Annotated[
    str,
    _require_match(
        r"(?!xn--|sthree-|amzn-s3-demo-)[a-z0-9][a-z0-9-]{0,30}",
        "at most 31 of a-z, 0-9 and hyphens, not beginning with a hyphen or with xn--, sthree- or amzn-s3-demo-",
    ),
]
EndpointUrl = Annotated[
    str, _require_match(r"https?://[^\s@]+", "an endpoint begins with https:// or http:// and has no password")
]
Origins = Annotated[tuple[Annotated[str, AfterValidator(check_origin)], ...], BeforeValidator(split_at_commas)]
RoleArn = Annotated[
    str,
    _require_match(
        r"arn:[a-z-]*:iam::[^:\s]*:role/\S+", "a role is written as its ARN: arn:aws:iam::ACCOUNT:role/NAME"
    ),
]
BucketNames = Annotated[tuple[BucketName, ...], BeforeValidator(split_at_commas)]


KmsKeyName = Annotated[str, _require_match(KMS_KEY, "a KMS key is written as its ARN, alias/name or id")]
KmsKeyNames = Annotated[tuple[KmsKeyName, ...], BeforeValidator(split_at_commas)]


class Settings(Section):
    """The effective settings. `origins` maps path → where the value comes from."""

    database_url: SecretStr | None = None
    database_password_command: Annotated[str, AfterValidator(_require_command)] | None = None
    shared_bucket: BucketNames = ()
    bucket_prefix: BucketPrefix = "dataroom-saas"
    bucket_namespace: Literal["global", "account-regional"] = "global"
    region: Annotated[str, _require_match(r"[a-z0-9-]*", "a region is written like us-east-1")] = ""
    endpoint_url: EndpointUrl | None = None
    s3_dialect: Literal["aws", "ceph"] = "aws"
    application_profile: str | None = None
    role_arn: RoleArn | None = None
    cors_origins: Origins = ()
    log_bucket: BucketName | None = None
    encryption: Annotated[str, _require_match(ENCRYPTION, "AES256, or a KMS key: its ARN, alias/name or id")] = "AES256"
    source_kms_keys: KmsKeyNames = ()
    request_metrics: bool = False
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 256
    max_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=10000)] = 1000
    multipart_threshold_bytes: Annotated[int, Field(ge=1, le=5 * 1024**3)] = 5 * 1024**3
    multipart_part_bytes: Annotated[int, Field(ge=5 * 1024**2, le=5 * 1024**3)] = 512 * 1024**2
    upload_window_seconds: Annotated[int, Field(ge=0)] = 3600
    lock_timeout_ms: Annotated[int, Field(ge=1)] = 200
    lock_budget_ms: Annotated[int, Field(ge=1, le=60_000)] = 50
    versioning_settle_seconds: Annotated[int, Field(ge=0)] | None = None
    grace_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 7.0
    routing_seconds: Annotated[int, Field(ge=0, le=300)] = 5
    upload_grant_seconds: Annotated[int, Field(ge=60, le=MOST_GRANT_SECONDS)] = 3600
    download_url_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 900
    serve_token: SecretStr | None = None
    serve_token_file: Path | None = None
    log_file: Path | None = None
    lifecycle: LifecycleDays = LifecycleDays()
    finish: FinishLook = FinishLook()
    prices: Prices = Prices()
    mapping: TableMapping = TableMapping()

    origins: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    overridden: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    """path → the file whose different value is overridden by a variable."""
    dropped_buckets: tuple[str, ...] = Field(default=(), exclude=True, repr=False)
    """Shared buckets that `cleanup --drop-bucket` removed. They come from the ledger, not from a setting."""

    @property
    def remaining_buckets(self) -> tuple[str, ...]:
        """The shared buckets that were not removed."""
        return tuple(bucket for bucket in self.shared_bucket if bucket not in self.dropped_buckets)

    @property
    def remaining_bucket(self) -> str | None:
        """The first shared bucket that was not removed; None if all were removed."""
        return next(iter(self.remaining_buckets), None)

    @property
    def grace(self) -> timedelta:
        """How long old pointers may be in use after a flip.

        A presigned URL is valid for at most 7 days.
        """
        return timedelta(days=self.grace_days)

    def require_places(self) -> None:
        """Raise ConfigurationError if the database URL or the shared bucket is not set.

        It names what is missing.
        """
        missing: list[ConfigurationError] = []
        for require in (self.require_database_url, self.require_shared_buckets):
            try:
                require()
            except ConfigurationError as error:
                missing.append(error)
        if missing:
            hint = "; ".join(each.hint for each in missing)
            subject = missing[0].subject if len(missing) == 1 else None
            raise ConfigurationError("; ".join(each.message for each in missing), hint=hint, subject=subject)

    def require_database_url(self) -> str:
        """Return the connection string. Raises ConfigurationError if it is not set."""
        if self.database_url is None:
            raise ConfigurationError(
                "DATABASE_URL is not set",
                hint="export DATABASE_URL=postgresql://user:password@host:5432/database",
                subject="database_url",
            )
        return self.database_url.get_secret_value()

    def require_shared_buckets(self) -> tuple[str, ...]:
        """Return the shared buckets.

        A NULL bucket means the first. Raises ConfigurationError if none is set.
        """
        if not self.shared_bucket:
            raise ConfigurationError(
                "REHOUSE_SHARED_BUCKET is not set",
                hint="export REHOUSE_SHARED_BUCKET=the-bucket-that-all-tenants-share (several: comma-separated)",
                subject="shared_bucket",
            )
        return self.shared_bucket


DEFAULT = "default"
"""The origin of a setting that is not set."""


def load(environment: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read the settings from `rehouse.toml` and the environment.

    The file is in `folder` (by default the working directory) or at REHOUSE_CONFIG. Raises ConfigurationError, whose message
    names the key and whose hint names the nearest known one.
    """
    env = os.environ if environment is None else environment
    named = env.get("REHOUSE_CONFIG")
    path = Path(named) if named else (folder or Path()) / FILE_NAME
    values = _read_file(path, required=bool(named))
    of_file = {".".join(leaf): value for leaf, value in _flatten(values)}
    origins = dict.fromkeys(of_file, str(path))
    for name in NOT_SETTINGS & values.keys():
        raise _unknown_setting_error(name, str(path))
    _refuse_unknown_variables(env)
    for leaf in leaves():
        for variable in variables(leaf):
            if env.get(variable) or (variable in env and leaf in OFF_LEAVES):
                _put(values, leaf, env[variable])
                origins[leaf] = variable
                break
    try:
        settings = Settings(**cast("dict[str, Any]", values), origins=origins)
    except ValidationError as error:
        raise _setting_error(error.errors()[0], origins, path) from None
    twice = {leaf: value for leaf, value in of_file.items() if origins[leaf] != str(path)}
    overridden = {leaf: str(path) for leaf, value in twice.items() if _is_different(settings, values, leaf, value)}
    return settings.model_copy(update={"overridden": overridden})


def leaves() -> Iterator[str]:
    """Yield the path of every setting, such as `bucket_prefix` and `mapping.documents.s3_key`."""
    yield from _leaves(Settings, "")


def variables(leaf: str) -> tuple[str, ...]:
    """Return the environment variables of a setting; the first one that is set wins."""
    return (PREFIX + leaf.replace(".", "_").upper(), *ALIASES.get(leaf, ()))


def name_setting(settings: Settings, leaf: str) -> str:
    """Return a setting's name for messages: the variable or file key that set it, else its variable."""
    origin = settings.origins.get(leaf)
    if origin is None:
        return variables(leaf)[0]
    return origin if origin in variables(leaf) else f"{leaf} in {origin}"


def effective_settings(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield (path, value with secrets masked, where the value comes from) for every setting."""
    for leaf in leaves():
        value: object = settings
        for part in leaf.split("."):
            value = getattr(value, part)
        origin = settings.origins.get(leaf, DEFAULT)
        yield (
            leaf,
            _mask(value),
            f"{origin}, over {settings.overridden[leaf]}" if leaf in settings.overridden else origin,
        )


def overriding_variables(settings: Settings) -> dict[str, list[str]]:
    """Return file → the variables that override a different value in it."""
    found: dict[str, list[str]] = {}
    for leaf, file in settings.overridden.items():
        found.setdefault(file, []).append(settings.origins[leaf])
    return found


def _mask(value: object) -> str:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return ", ".join(value)
    return "" if value is None else str(value)


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        elif name not in NOT_SETTINGS:
            yield prefix + name


def _read_file(path: Path, *, required: bool) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigurationError(
                f"{path} does not exist", hint="REHOUSE_CONFIG names the file", subject=str(path)
            ) from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} is not valid TOML: {error}", hint="see docs/settings.md for an example", subject=str(path)
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}", hint="check its permissions", subject=str(path)
        ) from None


def _flatten(values: Mapping[str, object], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def _put(values: dict[str, object], leaf: str, value: object) -> None:
    *parents, name = leaf.split(".")
    for parent in parents:
        nested = values.setdefault(parent, {})
        if not isinstance(nested, dict):
            return
        values = nested
    values[name] = value


def _is_different(settings: Settings, values: Mapping[str, object], leaf: str, value: object) -> bool:
    """Return whether the settings would differ with this value; an invalid value counts as different."""
    others = deepcopy(dict(values))
    _put(others, leaf, value)
    try:
        return Settings(**cast("dict[str, Any]", others), origins=settings.origins) != settings
    except ValidationError:
        return True


def _refuse_unknown_variables(env: Mapping[str, str]) -> None:
    known = {variable for leaf in leaves() for variable in variables(leaf)} | {"REHOUSE_CONFIG", *NOTIFY_VARIABLES}
    for variable in env:
        if variable.startswith(PREFIX) and variable not in known:
            message = f"the environment variable {variable} is not a setting"
            raise ConfigurationError(message, hint=_nearest_hint(variable, known), subject=variable)


def _setting_error(error: ErrorDetails, origins: Mapping[str, str], file: Path) -> ConfigurationError:
    path = ".".join(str(part) for part in error["loc"] if not isinstance(part, int))
    where = origins.get(path, str(file))
    if error["type"] == "extra_forbidden":
        return _unknown_setting_error(path, where)
    default = next((shown for leaf, shown, _ in effective_settings(Settings()) if leaf == path), None)
    if default is None:
        return ConfigurationError(
            f"{where}: {path} is a section", hint=f"write [{path}] and its settings below it", subject=path
        )
    rule = error["msg"].removeprefix("Value error, ").replace("Input should", "it must", 1)
    hint = f"correct it, or remove it: the default is {default or 'none'}"
    return ConfigurationError(f"{where}: {path}: {rule}", hint=hint, subject=path)


def _unknown_setting_error(path: str, where: str) -> ConfigurationError:
    return ConfigurationError(
        f"{where}: the setting {path} is unknown", hint=_nearest_hint(path, set(leaves())), subject=path
    )


def _nearest_hint(wrong: str, right: set[str]) -> str:
    """Return the hint that names the nearest setting. The common beginning of all names does not count as similar."""
    section = PREFIX if wrong.startswith(PREFIX) else "".join(wrong.rpartition(".")[:2])
    names = {each.removeprefix(section): each for each in sorted(right, key=lambda one: one.startswith(section))}
    close = near_names(wrong.removeprefix(section), names, most=1)
    return f"did you mean {names[close[0]]}?" if close else "docs/settings.md lists every setting"
