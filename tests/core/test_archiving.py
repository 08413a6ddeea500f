"""Archived is what S3 says now."""

import pytest

from rehouse.core.archiving import (
    ARCHIVED_CLASSES,
    RESTORED_CLASSES,
    archived_detail,
    class_now,
    class_of_copy,
    is_archived,
)


@pytest.mark.parametrize(
    ("storage_class", "archive_tier", "is_restored", "is_waiting", "copied_as"),
    [
        ("STANDARD", "", False, False, ""),
        ("", "", False, False, ""),
        ("GLACIER", "", False, True, "STANDARD"),
        ("GLACIER", "", True, False, "STANDARD"),
        ("DEEP_ARCHIVE", "", True, False, "STANDARD"),
        ("GLACIER_IR", "", False, False, "GLACIER_IR"),
        ("STANDARD_IA", "", True, False, "STANDARD_IA"),
        ("INTELLIGENT_TIERING", "", False, False, "INTELLIGENT_TIERING"),
        ("INTELLIGENT_TIERING", "ARCHIVE_ACCESS", False, True, "STANDARD"),
        ("INTELLIGENT_TIERING", "DEEP_ARCHIVE_ACCESS", False, True, "STANDARD"),
        ("INTELLIGENT_TIERING", "A_TIER_OF_TOMORROW", False, False, "INTELLIGENT_TIERING"),
    ],
)
def test_what_waits_for_a_restore_and_what_a_copy_is_asked_for(
    storage_class: str, archive_tier: str, is_restored: bool, is_waiting: bool, copied_as: str
) -> None:
    now = class_now(storage_class, archive_tier=archive_tier, is_restored=is_restored)
    assert (is_archived(now), class_of_copy(now)) == (is_waiting, copied_as)


@pytest.mark.parametrize("now", sorted(ARCHIVED_CLASSES | RESTORED_CLASSES | {"INTELLIGENT_TIERING", "STANDARD"}))
def test_the_sentence_has_a_command_that_a_shell_takes(now: str) -> None:
    detail = archived_detail(now, "shared", "it's a key")
    assert """--bucket shared --key 'it'"'"'s a key' --restore-request""" in detail
    assert ("'{}'" in detail) == (now in {"INTELLIGENT_TIERING", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"})
    assert ("expired" in detail) == (now in RESTORED_CLASSES)
