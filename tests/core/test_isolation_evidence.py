"""The digest of the evidence: over one JSON text, whatever the order of the keys."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.isolation import Attack
from rehouse.core.isolation_evidence import AttackFinding, Certification, Evidence, PairAnswers, canonical_json, digest

EVIDENCE = Evidence(
    format=1,
    program="rehouse 1.0",
    endpoint="https://s3.example.com",
    region="eu-central-1",
    role_arn="arn:aws:iam::123456789012:role/tenants",
    caller=None,
    begun_at="2026-11-27T20:00:00+00:00",
    ended_at="2026-11-27T20:01:00+00:00",
    certification=Certification("home-a", "200", "403 AccessDenied"),
    seed=None,
    victims_each=10,
    shared_buckets=["shared"],
    pairs=[PairAnswers("a", "b", "home-b", {"get": "403 AccessDenied"})],
    leaks=[AttackFinding("a", "b", "home-b", "k\u00fc/\u2028", Attack.GET, "206", "")],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5))
def test_the_json_does_not_depend_on_the_order_of_keys(value: dict[str, object]) -> None:
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
    assert json.loads(canonical_json(value)) == value


def test_the_digest_can_be_computed_from_what_is_printed() -> None:
    printed = json.loads(json.dumps(asdict(EVIDENCE), indent=2))
    text = json.dumps(printed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest(EVIDENCE) == hashlib.sha256(text.encode()).hexdigest()


def test_the_digest_changes_with_every_answer() -> None:
    leaked = replace(EVIDENCE, pairs=[PairAnswers("a", "b", "home-b", {"get": "200"})])
    later = replace(EVIDENCE, ended_at="2026-11-27T20:01:01+00:00")
    assert len({digest(each) for each in (EVIDENCE, leaked, later, replace(EVIDENCE, leaks=[]))}) == 4
