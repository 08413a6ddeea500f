"""The tests of the same name have nothing to ask of a second S3 server."""

import pytest


@pytest.mark.skip(reason="`rehouse demo` starts the servers of its sandbox itself: no other server comes into it")
def test_the_demo() -> None:
    """In place of those that run it."""
