"""docs/compatibility.md says of each endpoint, column and type what was tried: none is missing, and none was not tried."""

from __future__ import annotations

from tests.support.column_types import TYPES
from tests.support.compatibility_page import PAGE, endpoints, put


def test_the_endpoints_are_those_of_the_resolver():
    text = PAGE.read_text(encoding="utf-8")
    assert put(text, "endpoints", endpoints()) == text, "write it anew: scripts/compatibility"


def test_every_type_that_is_tried_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    begin = text.index("<!-- compatibility:column types -->")
    lines = text[begin : text.index("<!-- end -->", begin)].splitlines()
    for column, kinds in TYPES.items():
        (line,) = [line for line in lines if line.startswith(f"| `{column}` |")]
        tried = sorted(part.strip(" `") for cell in line.split("|")[2:5] for part in cell.split("`,") if "`" in part)
        assert tried == sorted(kinds)
