"""Make boto3 treat an incomplete reply document as a lost connection, not as an unexpected exception."""

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
        except (ResponseParserError, KeyError) as error:  # KeyError: complete, but a different document
            raise ResponseStreamingError(error=f"the answer cannot be read: {error}".split("\n", 1)[0]) from None


class StrictParsers(ResponseParserFactory):
    """Create boto3's parsers, so that a parsing failure becomes a connection error."""

    def create_parser(self, protocol_name: str) -> Any:
        """Return the parser for a protocol."""
        return _Parser(super().create_parser(protocol_name))
