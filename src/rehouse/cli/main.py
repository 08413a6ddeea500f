"""The command `rehouse`: register the commands, and turn errors into a message, a hint and an exit status.

`rehouse --help` and completion import only Typer; what a command or an error needs is imported when it is used.
"""

from __future__ import annotations

import errno
import functools
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Annotated

import typer

# typer bundles click and exports no names for these
from typer._click.exceptions import ClickException, NoArgsIsHelpError

from rehouse import __version__
from rehouse.cli import completion, envelope, output
from rehouse.cli.commands import (
    accept,
    audit,
    cleanup,
    config,
    cutover,
    demo,
    doctor,
    finish,
    help,  # noqa: A004 - named as its command is
    iam_policy,
    init,
    isolation,
    migrate,
    plan,
    rollback,
    rules,
    sandbox,
    serve,
    status,
    sweep,
    uninstall,
    verify,
)
from rehouse.cli.help import Command, WorkflowGroup, take_common
from rehouse.cli.process import collect_seldom, ignore_closed_pipes, skip_last_collection
from rehouse.core.errors import BadUsage, Interrupted, Refused, RehouseError
from rehouse.core.exit_status import ExitStatus

OPEN_FILES = 4096
"""The open files that rehouse asks for: enough for the highest setting of requests in flight; shells often allow 256 or 1,024."""
EPILOG = "More: `rehouse COMMAND --help`, `rehouse help exit-codes`, `help settings`, `help words`."

WORKFLOWS: dict[str, dict[str, Callable[..., None]]] = {
    "Look": {
        "doctor": doctor.doctor,
        "iam-policy": iam_policy.iam_policy,
        "plan": plan.plan,
        "rules": rules.rules,
        "status": status.status,
        "verify": verify.verify,
        "verify-all": verify.verify_all,
    },
    "Move": {
        "init": init.init,
        "migrate": migrate.migrate,
        "migrate-all": migrate.migrate_all,
        "cutover": cutover.cutover,
        "accept": accept.accept,
    },
    "Undo and finish": {
        "rollback": rollback.rollback,
        "finish": finish.finish,
        "cleanup": cleanup.cleanup,
        "uninstall": uninstall.uninstall,
    },
    "Operate": {
        "audit": audit.audit,
        "isolation": isolation.isolation,
        "config": config.config,
        "serve": serve.serve,
        "sweep": sweep.sweep,
        "help": help.help_,
    },
    "Sandbox": {
        "sandbox": sandbox.sandbox,
        "demo": demo.demo,
    },
}
COMMANDS = {name: command for commands in WORKFLOWS.values() for name, command in commands.items()}


class Rehouse(WorkflowGroup):
    """The command `rehouse`."""

    workflows = WORKFLOWS


app = typer.Typer(
    name="rehouse",
    cls=Rehouse,
    suggest_commands=False,
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rehouse {__version__}")
        raise typer.Exit


def _wrap_command(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: the envelope has its name, and Ctrl-C raises Interrupted (Typer alone would end it without a message)."""

    @functools.wraps(command)
    def run_command(*arguments: object, **options: object) -> None:
        envelope.ending.begin_command(name, is_json=options.get("output") == "json")
        envelope.ending.is_stream = bool(options.get("watch"))
        output.style = replace(output.style, has_json_lines=options.get("progress") == "json")
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            raise Interrupted("interrupted before the end", hint="run the same command again") from None

    return run_command


for name, command in COMMANDS.items():
    app.command(name, cls=Command)(_wrap_command(name, command))


@app.callback()
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Move the tenants of a SaaS out of one shared S3 bucket into a bucket each, while the application keeps running."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; return its exit status, one of `core.exit_status.ExitStatus`."""
    given = sys.argv[1:] if arguments is None else arguments
    if completion.prepare():
        return _complete()
    envelope.ending = envelope.Ending()
    try:
        left, common = take_common(given)
    except RehouseError as error:
        return _end(_refuse(error, given), None)
    output.style = common.style
    try:
        status = _run_verbosely(left) if common.style.verbose else _run(left)
        sys.stdout.flush()
    except Exception as error:
        if _is_disk_full(error):
            return _end(_refuse_full_disk(), common.notify)
        _end(ExitStatus.LEFT, common.notify)
        raise
    return _end(status, common.notify)


def _run_verbosely(given: list[str]) -> int:
    from rehouse.cli.logs import log_to_stderr

    with log_to_stderr():
        return _run(given)


def _end(status: int, notify: str | None) -> int:
    """Print the envelope if JSON was asked for, and run the command of --notify. Return the exit status."""
    ending = envelope.ending
    try:
        ending.print_envelope(status)
        sys.stdout.flush()
    except OSError as error:
        if not _is_disk_full(error):
            raise
        status = _refuse_full_disk()
    finally:
        if notify and ending.command:
            from rehouse.cli.notify import notify as run_notify

            run_notify(notify, ending.envelope(status))
    return status


def _run(given: list[str]) -> int:
    try:
        result = app(args=given, standalone_mode=False, prog_name="rehouse")
    except (typer.Abort, KeyboardInterrupt):
        envelope.ending.refuse(Interrupted("interrupted", hint="run the same command again").as_failure())
        return Interrupted.exit_status
    except NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except ClickException as error:
        return _refuse(_explain_usage_error(error, given), given)
    except RehouseError as error:
        return _fail(error)
    except Exception as error:
        known = _translate_database_error(error)
        if known is None:
            envelope.ending.refuse(envelope.internal_error(error))
            raise
        return _fail(known)
    return result if isinstance(result, int) else ExitStatus.DONE


def _complete() -> int:
    """Print the completions for the shell; nothing if the command line is wrong, because the command itself reports that."""
    with suppress(ClickException, RehouseError):
        app(args=[], standalone_mode=False, prog_name="rehouse")
    return 0


def _refuse(error: RehouseError, given: list[str]) -> int:
    """Report an error that occurred before a command began, and return its exit status."""
    envelope.ending.begin_command(_find_command(given), is_json=envelope.wants_json(given))
    output.style = replace(output.style, has_json_lines=envelope.wants_json_lines(given))
    return _fail(error)


def _fail(error: RehouseError) -> int:
    output.failure(error)
    envelope.ending.refuse(error.as_failure())
    return error.exit_status


def _find_command(given: list[str]) -> str | None:
    """Return the command that a command line names, or None."""
    return next((word for word in given[:1] if word in COMMANDS), None)


def _translate_database_error(error: Exception) -> RehouseError | None:
    """Translate an error of PostgreSQL into one with a hint; return None for any other error."""
    import psycopg

    from rehouse.ledger.connection import translate_error

    return translate_error(error) if isinstance(error, psycopg.Error) else None


def _explain_usage_error(error: ClickException, arguments: list[str]) -> Refused:
    context = getattr(error, "ctx", None)
    named = _find_command(arguments)
    command = context.command_path if context else f"rehouse {named}" if named else "rehouse"
    return BadUsage(
        error.format_message().replace("Value error, ", ""), hint=f"`{command} --help` shows how it is used"
    )


def run() -> None:
    """Run the console script `rehouse` and exit with the status of its command."""
    collect_seldom()
    _allow_open_files()
    ignore_closed_pipes()
    status = main()
    skip_last_collection()
    sys.exit(status)


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_disk_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def _refuse_full_disk() -> int:
    """Report on stderr that the output cannot be written, and drop what Python still buffers of it."""
    _fail(
        Refused(
            "the output cannot be written: its disk is full",
            hint="free disk space; `rehouse status` shows what was done",
        )
    )
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitStatus.LEFT
