"""The command `help`: explain exit codes, error codes, settings and words, or a command."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Annotated

import typer


def help_(
    context: typer.Context,
    topic: Annotated[
        str,
        typer.Argument(
            metavar="TOPIC", help="exit-codes, error-codes, settings, words, or a command.", show_default=False
        ),
    ],
) -> None:
    """Explain exit codes, error codes, settings, words, or a command.

    Examples: `rehouse help exit-codes`, `rehouse help settings`, `rehouse help migrate`.
    """
    topics = {
        "exit-codes": _show_exit_codes,
        "error-codes": _show_error_codes,
        "settings": _show_settings,
        "words": _show_words,
    }
    topics.get(topic, partial(_show_command, context, topic, tuple(topics)))()


def _show_command(context: typer.Context, name: str, topics: Collection[str]) -> None:
    group = context.find_root().command
    command = getattr(group, "commands", {}).get(name)
    if command is None:
        raise typer.BadParameter(f"there is no topic or command {name!r}; the topics are {', '.join(topics)}")
    with command.make_context(name, ["--help"], parent=context.find_root(), resilient_parsing=True) as inner:
        typer.echo(command.get_help(inner))


def _show_exit_codes() -> None:
    from rehouse.cli.output import define
    from rehouse.core.exit_status import MEANINGS

    define(("exit code", "meaning"), {str(int(status)): meaning for status, meaning in MEANINGS.items()})


def _show_error_codes() -> None:
    from rehouse.cli.output import table
    from rehouse.core.errors import CODE_MEANINGS

    table(("error code", "meaning"), CODE_MEANINGS.items())


def _show_settings() -> None:
    from rehouse import config
    from rehouse.cli.output import define, say

    say(
        "Settings come from rehouse.toml in the working directory (or the file that REHOUSE_CONFIG names) and from the "
        "environment, which takes precedence. database_url and shared_bucket are required. `rehouse config` shows all.",
        "",
    )
    define(("setting", "environment"), {leaf: ", ".join(config.variables(leaf)) for leaf in config.leaves()})


def _show_words() -> None:
    from rehouse.cli.output import define, say
    from rehouse.core.tenant_state import MEANINGS
    from rehouse.core.words import WORDS

    define(("word", "meaning"), WORDS)
    say("")
    define(("state of a tenant", "meaning"), {state.words: meaning for state, meaning in MEANINGS.items()})
