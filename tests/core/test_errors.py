"""Every error names its subject, has a hint, and ends the process with the status of its kind."""

import pytest

from rehouse.core import errors
from rehouse.core.errors import RehouseError

WORDED = (errors.NoSuchObject, errors.PreconditionFailed)
"""These word their message and hint themselves."""
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RehouseError) and kind not in WORDED
]
STATUSES = {
    "RehouseError": 1, "TryAgain": 1, "Halt": 1, "StorageUnavailable": 1, "Interrupted": 130,
    "Refused": 2, "ConfigurationError": 2, "DatabaseRefused": 2, "StorageRefused": 2,
    "Locked": 1, "BadUsage": 2, "UnknownTenant": 2, "NotConfirmed": 2,
    "InactiveTenant": 2, "NoSuchDocument": 2, "ForeignPointer": 2, "BadUpload": 2, "NameTaken": 2, "QuotaExceeded": 2,
    "GrantUnknown": 2, "GrantExpired": 2, "NotGranted": 2, "UploadMismatch": 2,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_error_has_an_exit_status_and_a_hint(kind: type[RehouseError]) -> None:
    code = {"code": "Code"} if kind.__name__.startswith("Storage") else {}
    error = kind("acme: something", hint="do this", **code)
    assert (error.message, error.hint, str(error)) == ("acme: something", "do this", "acme: something")
    assert error.exit_status == STATUSES[kind.__name__]
    with pytest.raises(TypeError):
        kind("acme: something", **code)


@pytest.mark.parametrize("kind", WORDED)
def test_an_error_that_words_itself_names_its_subject(kind: type[errors.StorageRefused]) -> None:
    error = kind("s3://bucket/key", "Code")
    assert error.message.startswith("s3://bucket/key: Code: ")
    assert (error.subject, error.code, error.exit_status) == ("s3://bucket/key", "Code", 2)
    assert error.hint


def test_every_error_says_what_its_reader_does_next() -> None:
    for kind in (*KINDS, *WORDED):
        ways = {way for way in (errors.TryAgain, errors.Refused, errors.Halt) if issubclass(kind, way)}
        assert len(ways) == (0 if kind is RehouseError else 1)
