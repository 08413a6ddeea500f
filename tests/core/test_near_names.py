"""Near names: a slip of the hand or of the shift key finds its name, another word finds none."""

from __future__ import annotations

import pytest

from rehouse.core.near_names import near_names

NAMES = ["acme-corp", "acme", "globex", "Initech", "missing_object", "SlowDown", "migrate-all"]


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("acme-crop", "acme-corp"),
        ("ACME-CORP", "acme-corp"),
        ("acm", "acme"),
        ("goblex", "globex"),
        ("initech", "Initech"),
        ("slowdwn", "SlowDown"),
        ("MISSING-OBJECT", "missing_object"),
        ("migrate_all", "migrate-all"),
    ],
)
def test_the_nearest_comes_first_whatever_its_case(wrong: str, near: str) -> None:
    assert near_names(wrong, NAMES)[0] == near


@pytest.mark.parametrize("wrong", ["", "x", "nobody", "umbrella", "gl", "tenant", "🦊", "x" * 300])
def test_another_word_has_no_near_name(wrong: str) -> None:
    assert near_names(wrong, NAMES) == []


def test_names_that_differ_by_case_are_all_named() -> None:
    assert near_names("ACME", ["acme", "Acme", "globex"]) == ["Acme", "acme"]
    assert near_names("ACME", ["acme", "Acme", "globex"], most=1) == ["Acme"]
