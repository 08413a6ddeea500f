"""The command `iam-policy`: the policy documents, as JSON."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from rehouse.cli import output as printing
from rehouse.cli.options import OutputOption
from rehouse.cli.output import print_json, print_report, say
from rehouse.core.next_steps import AFTER_IAM_POLICY
from rehouse.core.permissions.policies import ROLES
from rehouse.core.permissions.table import Role

if TYPE_CHECKING:
    pass


class RoleName(StrEnum):
    """The values of `--role`."""

    PROVISION = "provision"
    MIGRATE = "migrate"
    ROLLBACK = "rollback"
    FINISH = "finish"
    APPLICATION = "application"
    LOG_BUCKET = "log-bucket"


def _account(text: str) -> str:
    if not re.fullmatch(r"\d{12}", text):
        raise typer.BadParameter("an AWS account ID has 12 digits")
    return text


AccountOption = Annotated[
    str | None,
    typer.Option(parser=_account, metavar="ACCOUNT", help="The AWS account of the buckets.", show_default=False),
]


RoleOption = Annotated[list[RoleName] | None, typer.Option(help="Only this role; can be repeated.")]


def iam_policy(*, role: RoleOption = None, account: AccountOption = None, output: OutputOption = "text") -> None:
    """Print the minimal IAM policies, by role, as JSON.

    Examples: `rehouse iam-policy`, `rehouse iam-policy --role migrate`.
    """
    from rehouse.cli.services import load_settings
    from rehouse.operations import iam_policy as policies

    roles = cast("tuple[Role, ...]", tuple(each.value for each in role)) if role else ROLES
    settings = load_settings()
    made = policies.documents(settings, roles, account)
    print_report(output, {"policies": made}, lambda: print_json(made))
    for sentence in () if printing.style.quiet else policies.sizes(made):
        say(sentence, stderr=True)
    for sentence in policies.warnings(settings):
        say(f"Warning: {sentence}", stderr=True)
    if not printing.style.quiet:
        typer.echo(f"Next: {AFTER_IAM_POLICY}", err=True)
