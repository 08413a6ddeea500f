"""An answer that is no whole document is a lost connection to boto3 as well, and not an exception that nobody expects."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ResponseStreamingError
from botocore.parsers import ResponseParserError, ResponseParserFactory


class _Parser:
    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def parse(self, response: dict[str, Any], shape: Any) -> Any:
        try:
            return self._parser.parse(response, shape)
        except (ResponseParserError, KeyError) as error:  # KeyError: whole, but another document than was asked for
            raise ResponseStreamingError(error=f"the answer cannot be read: {error}".split("\n", 1)[0]) from None


class StrictParsers(ResponseParserFactory):
    """Make boto3's parsers, whose failures are errors of transport."""

    def create_parser(self, protocol_name: str) -> Any:
        """Return the parser of a protocol."""
        return _Parser(super().create_parser(protocol_name))
