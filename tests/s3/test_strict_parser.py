"""An answer cut short is told as one, with a way out, whatever client asked."""

from __future__ import annotations

import pytest
from tests.support.s3_stub import Scripted, serving

from rehouse.config import Settings
from rehouse.core.errors import StorageUnavailable
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session


@pytest.mark.usefixtures("storage_settings")
def test_half_a_document_is_a_lost_connection() -> None:
    with serving(lambda seen: Scripted(body=b"<LocationConstraint><Half")) as stub:
        control = Control(Session(Settings(endpoint_url=stub.url)), sleep=lambda seconds: None)
        with pytest.raises(StorageUnavailable) as caught:
            control.identity()
    assert caught.value.hint
    assert "no element found" not in caught.value.hint
    assert caught.value.code == "ConnectionLost"
