"""The commands that only look: doctor, iam-policy, plan, verify, verify-all, status.

Each imports what it runs when it runs: help and completion need none of it, and no command needs all of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated, Literal, cast

import typer

from rehouse.cli.options import (
    ExcludeOption,
    InactiveOption,
    OnlyOption,
    OptionalSlug,
    OutputOption,
    SlugArgument,
)
from rehouse.core.errors import ConfigurationError
from rehouse.core.permissions.policies import ROLES
from rehouse.core.permissions.table import Role

DeepOption = Annotated[bool, typer.Option("--deep", help="Read the bytes of both sides, headers, metadata and tags.")]
ProbeOption = Annotated[bool, typer.Option("--probe", help="Try the writes too, in a scratch bucket that is removed.")]
FindPointersOption = Annotated[
    bool, typer.Option("--find-pointers", help="Only look for keys in the columns outside the mapping.")
]
ErrorsOption = Annotated[
    bool, typer.Option("--errors", help="Every document that could not be moved, with the reason and the way out.")
]
StatusOutputOption = Annotated[
    Literal["text", "json", "csv"], typer.Option("--output", "-o", help="text, one JSON object, or CSV of the errors.")
]
OrphansOption = Annotated[bool, typer.Option("--orphans", help="List the objects that no row points to.")]


def _account(text: str) -> str:
    if not re.fullmatch(r"\d{12}", text):
        raise typer.BadParameter("an AWS account ID has 12 digits")
    return text


class RoleName(StrEnum):
    """What `--role` takes."""

    PROVISION = "provision"
    MIGRATE = "migrate"
    ROLLBACK = "rollback"
    FINISH = "finish"
    APPLICATION = "application"
    LOG_BUCKET = "log-bucket"


AccountOption = Annotated[
    str | None,
    typer.Option(parser=_account, metavar="ACCOUNT", help="The AWS account of the buckets.", show_default=False),
]
RoleOption = Annotated[list[RoleName] | None, typer.Option(help="Only this role; may be given again.")]


def doctor(
    *, probe: ProbeOption = False, find_pointers: FindPointersOption = False, output: OutputOption = "text"
) -> None:
    """Look whether a migration can work: database, credentials, rights, the shared bucket, the application's rights.

    Examples: `rehouse doctor`, `rehouse doctor --probe`, `rehouse doctor --find-pointers`.
    """
    from rehouse.cli import reports
    from rehouse.cli.services import finish, settings_only
    from rehouse.operations import doctor as examining

    if find_pointers:
        checks = list(examining.find_pointers(settings_only()))
    else:
        checks = list(examining.examine(settings_only(), probe=probe))
    _print(output, checks, lambda: reports.show_checks(checks, examining.summary(checks)))
    finish(well=not examining.exit_status(checks))


def iam_policy(*, role: RoleOption = None, account: AccountOption = None) -> None:
    """Print the minimal IAM policy documents, by role, as JSON.

    Examples: `rehouse iam-policy`, `rehouse iam-policy --role migrate`.
    """
    from rehouse.cli.output import as_json
    from rehouse.cli.services import settings_only
    from rehouse.operations import iam_policy as policies

    roles = cast("tuple[Role, ...]", tuple(each.value for each in role)) if role else ROLES
    settings = settings_only()
    made = policies.documents(settings, roles, account)
    as_json(made)
    for sentence in policies.sizes(made):
        typer.echo(sentence, err=True)
    for sentence in policies.warnings(settings):
        typer.echo(f"Warning: {sentence}", err=True)


def plan(slug: OptionalSlug = None, *, orphans: OrphansOption = False, output: OutputOption = "text") -> None:
    """Show what would happen, what it costs and what is wrong. Changes nothing; works before `init`.

    Examples: `rehouse plan`, `rehouse plan acme`, `rehouse plan --orphans --output json`.
    """
    planned(True, None if slug is None else [slug], None, orphans=orphans, output=output)


def planned(
    include_inactive: bool, only: list[str] | None, exclude: list[str] | None, *, orphans: bool, output: str
) -> None:
    """Show the plan of a selection of tenants."""
    from rehouse.cli import reports
    from rehouse.cli.services import finish, services
    from rehouse.operations import plan as planning
    from rehouse.operations.selection import chosen

    with services(writes=False) as opened:
        tenants = chosen(opened, include_inactive=include_inactive, only=only or (), exclude=exclude or ())
        made = planning.plan(opened, tenants, orphans=orphans)
    _print(output, made, partial(reports.show_plan, made))
    finish(well=not made.has_findings)


def verify(slug: SlugArgument, *, deep: DeepOption = False, output: OutputOption = "text") -> None:
    """Compare every document of a tenant with its object. Changes nothing; exit status 1 unless all is well.

    Examples: `rehouse verify acme`, `rehouse verify acme --deep`.
    """
    from rehouse.cli import reports
    from rehouse.cli.services import finish, services
    from rehouse.operations import verify as verifying

    with services(writes=False) as opened:
        made = [verifying.verify(opened, opened.ledger.tenant(slug), deep=deep)]
    _print(output, reports.verification_object(made), lambda: reports.show_verification(made))
    finish(well=all(report.is_well for report in made))


def verify_all(
    *,
    include_inactive: InactiveOption = False,
    only: OnlyOption = None,
    exclude: ExcludeOption = None,
    deep: DeepOption = False,
    output: OutputOption = "text",
) -> None:
    """Compare every document of every active tenant with its object; the shared buckets are listed once.

    Examples: `rehouse verify-all`, `rehouse verify-all --deep --only acme`.
    """
    from rehouse.cli import reports
    from rehouse.cli.services import finish, services
    from rehouse.operations import verify as verifying
    from rehouse.operations.selection import chosen

    with services(writes=False) as opened:
        tenants = chosen(opened, include_inactive=include_inactive, only=only or (), exclude=exclude or ())
        made = verifying.verify_all(opened, tenants, deep=deep)
    _print(output, reports.verification_object(made), lambda: reports.show_verification(made))
    finish(well=all(report.is_well for report in made))


def status(slug: OptionalSlug = None, *, errors: ErrorsOption = False, output: StatusOutputOption = "text") -> None:
    """Show how far every tenant is, or one tenant with its outstanding documents and its history.

    Examples: `rehouse status`, `rehouse status acme`, `rehouse status acme --errors --output csv`.
    """
    from rehouse.cli import reports
    from rehouse.cli.services import ledger
    from rehouse.operations import status as standing

    if output == "csv" and not errors:
        raise ConfigurationError("there is no CSV of the overview", hint="--output csv goes with --errors")
    with ledger() as opened:
        if errors:
            found = standing.errors(opened, opened.tenants() if slug is None else [opened.tenant(slug)])
            _print(output, {"errors": found}, lambda: reports.show_errors(found, as_csv=output == "csv"))
        elif slug is None:
            lines = standing.overview(opened)
            _print(output, {"tenants": lines}, lambda: reports.show_overview(lines))
        else:
            one = standing.tenant_status(opened, opened.tenant(slug))
            _print(output, one, lambda: reports.show_status(one))


def _print(output: str, value: object, show: Callable[[], None]) -> None:
    if output == "json":
        from rehouse.cli.output import as_json

        as_json(value if not isinstance(value, list) else {"checks": value})
    else:
        show()
