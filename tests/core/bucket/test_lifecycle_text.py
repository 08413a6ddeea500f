"""Lifecycle rules in words: what each does, the worst first, whatever an endpoint answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.bucket.documents import LifecycleRules, lifecycle_rules, log_lifecycle_rules
from rehouse.core.bucket.lifecycle_text import Harm, compare_rules, effects

OURS = {"Rules": lifecycle_rules(LifecycleRules())}
PURGE = {"ID": "purge", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.datetimes()
names = st.sampled_from(
    [
        "Rules",
        "ID",
        "Status",
        "Filter",
        "Prefix",
        "And",
        "Tag",
        "Tags",
        "Expiration",
        "Days",
        "Date",
        "Transitions",
        "X",
    ]
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)


def rule(action: str, prefix: str = "") -> dict[str, Any]:
    """Return the rule that a line of the table is about."""
    name, *words = action.split()
    value: Any = int(words[1]) if words[1:] and words[1].isdigit() else words[1]
    value = {words[0]: True if value == "true" else value}
    listed = [value] if name.endswith("Transitions") else value
    return {"ID": "it", "Status": "Enabled", "Filter": {"Prefix": prefix}, name: listed}


@pytest.mark.parametrize(("action", "below", "harm", "sentence"), truth_table(effects))
def test_the_table(action: str, below: str, harm: str, sentence: str) -> None:
    assert effects(rule(action, below)) == ((Harm[harm.upper()], sentence),)
    assert effects({**rule(action, below), "Status": "Disabled"}) == ()


def test_every_harm_is_in_the_table() -> None:
    assert {line[2].upper() for line in truth_table(effects)} == set(Harm.__members__)


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ({"Prefix": "documents/"}, 'below "documents/"'),
        ({"Filter": {"Tag": {"Key": "class", "Value": "old"}}}, 'with the tag "class=old"'),
        ({"Filter": {"ObjectSizeGreaterThan": 0}}, "larger than 0 bytes"),
        (
            {"Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}], "ObjectSizeLessThan": 9}}},
            'below "a/" and with the tag "k=v" and smaller than 9 bytes',
        ),
        ({"Filter": {"Moon": "full"}}, 'that match {"Moon": "full"}'),
    ],
)
def test_which_objects_a_rule_is_for(scope: dict[str, Any], told: str) -> None:
    [effect] = effects({"Status": "Enabled", "Expiration": {"Days": 2}, **scope})
    assert effect == (Harm.DELETES_SOME, f"deletes every document {told} 2 days after its upload")


def test_a_rule_that_deletes_every_document_comes_first() -> None:
    found = {"Rules": [*OURS["Rules"], {**rule("Transitions StorageClass GLACIER"), "ID": "cold"}, PURGE]}
    told = compare_rules(OURS, found)
    assert told.harm is Harm.DELETES_ALL
    assert told.lines == (
        'the rule "purge" deletes every document 1 day after its upload: it must not be there',
        'the rule "cold" moves every document to GLACIER, where it cannot be read before it is restored: it must not be there'
    )  # fmt: skip


def test_a_rule_under_the_name_of_ours_is_told_by_what_it_does() -> None:
    changed = [{**PURGE, "ID": each["ID"]} if each["ID"] == "old-versions" else each for each in OURS["Rules"]]
    told = compare_rules(OURS, {"Rules": changed})
    assert told.lines == (
        'the rule "old-versions" deletes every document 1 day after its upload: it must not be there',
        "missing: a rule that deletes every old version 30 days after it was replaced",
    )


def test_a_date_and_a_rule_without_a_name() -> None:
    dated = {"Status": "Enabled", "Filter": {}, "Expiration": {"Date": datetime(2027, 1, 1, tzinfo=UTC)}}
    told = compare_rules(OURS, {"Rules": [*OURS["Rules"], dated]})
    assert told.lines == ("rule 6 (without a name) deletes every document from 2027-01-01 on: it must not be there",)


def test_access_logs_are_objects_that_may_be_deleted() -> None:
    told = compare_rules({"Rules": log_lifecycle_rules(365)}, {"Rules": log_lifecycle_rules(30)})
    assert not told.keeps_documents
    assert told.lines == (
        'the rule "old-logs" deletes every object 30 days after its upload: it must not be there',
        "missing: a rule that deletes every object 365 days after its upload",
    )


@given(documents, documents)
def test_whatever_is_found_becomes_sentences(expected: Any, found: Any) -> None:
    told = compare_rules(expected, found)
    assert all(told.lines)
    assert compare_rules(found, found).harm is None


@given(st.permutations([PURGE, *OURS["Rules"], rule("Expiration Days 1", "documents/")]))
def test_the_order_of_rules_does_not_count(rules: list[dict[str, Any]]) -> None:
    first, second = compare_rules(OURS, {"Rules": rules}).lines
    assert "every document 1 day" in first
    assert 'below "documents/"' in second
