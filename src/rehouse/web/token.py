"""The bearer token of `rehouse serve`: from a setting or from a file, and never from the command line, which `ps` shows."""

from __future__ import annotations

import re

from rehouse.config import Settings, name_setting
from rehouse.core.errors import ConfigurationError

LEAST_CHARACTERS = 32
HINT = "make one: openssl rand -hex 32"


def read_token(settings: Settings) -> str:
    """Return the token. Raises ConfigurationError if there is none, if it is short, or if it is set twice."""
    setting, file = settings.serve_token, settings.serve_token_file
    if setting is not None and file is not None:
        names = " and ".join(name_setting(settings, leaf) for leaf in ("serve_token", "serve_token_file"))
        raise ConfigurationError(f"{names} are both set", hint="set one of them", subject="serve_token")
    if setting is not None:
        return _check(setting.get_secret_value(), name_setting(settings, "serve_token"))
    if file is None:
        raise ConfigurationError(
            "REHOUSE_SERVE_TOKEN is not set, and rehouse serves nobody without a token",
            hint=f"{HINT}; set REHOUSE_SERVE_TOKEN, or REHOUSE_SERVE_TOKEN_FILE to a file that holds it",
            subject="serve_token",
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"the file of the token, {file}, cannot be read: {reason}",
            hint=f"check {name_setting(settings, 'serve_token_file')}",
            subject="serve_token_file",
        ) from None
    return _check(text.strip(), str(file))


def _check(token: str, where: str) -> str:
    if not re.fullmatch(r"[!-~]+", token) or len(token) < LEAST_CHARACTERS:
        raise ConfigurationError(
            f"the token in {where} is too weak: it needs {LEAST_CHARACTERS} letters and digits or more, without blanks",
            hint=HINT,
            subject="serve_token",
        )
    return token
