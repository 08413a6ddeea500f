"""The policies that the command prints: for these settings, without a request."""

from __future__ import annotations

import pytest

from rehouse.config import Settings
from rehouse.core.errors import ConfigurationError
from rehouse.core.permissions import ROLES
from rehouse.operations.iam_policy import documents

SETTINGS = Settings(shared_bucket=("shared-docs", "older-docs"), bucket_prefix="acme", encryption="alias/ours")


def test_each_role_has_its_policy_and_only_what_was_asked_for() -> None:
    assert list(documents(SETTINGS, ROLES)) == [f"rehouse-{role}" for role in ROLES]
    assert list(documents(SETTINGS, ["finish"])) == ["rehouse-finish"]


def test_the_settings_are_in_the_resources() -> None:
    text = str(documents(SETTINGS, ["migrate"], account="123456789012"))
    for name in ("shared-docs/*", "older-docs/*", "acme-*", ":123456789012:key/*"):
        assert name in text


def test_without_a_shared_bucket_there_is_nothing_to_say() -> None:
    with pytest.raises(ConfigurationError, match="REHOUSE_SHARED_BUCKET"):
        documents(Settings(), ROLES)
