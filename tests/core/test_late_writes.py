"""Late writes: the truth table of the decision, against every combination that matters."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.copies import CopiedDocument
from rehouse.core.late_writes import (
    ReturnedDocument,
    Verdict,
    conflict_message,
    conflict_message_at_home,
    decide_late_write,
    decide_late_write_at_home,
    needs_proof,
)
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import ListedObject, ObjectRef

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD, NEW, OTHER, PARTS = "0" * 32, "1" * 32, "2" * 32, f"{'3' * 32}-2"
SOURCE, HOME = ObjectRef("shared", "k"), ObjectRef("home", "documents/a/a.txt")

etags = st.sampled_from([OLD, NEW, OTHER, PARTS])
objects = st.none() | st.builds(
    lambda etag, size: ListedObject("k", etag, size, "STANDARD", NOON), etags, st.integers(0, 1)
)
rows = st.sampled_from([None, HOME, ObjectRef("home", "elsewhere"), ObjectRef("shared", "k"), ObjectRef("shared", "x")])
states = st.sampled_from([DocumentState.FLIPPED, DocumentState.REMOVING, DocumentState.REMOVED])
lines = st.builds(
    lambda state, source_etag, target_etag, contested: CopiedDocument(
        "a", state, SOURCE, source_etag, HOME, target_etag, contested
    ),
    states,
    st.none() | etags,
    etags,
    st.booleans(),
)

copies = st.none() | etags

LINES = {
    "its row is gone": lambda m, r, s, t, p, c: r is None,
    "its row points outside the home: it is moved from there": lambda m, r, s, t, p, c: r.bucket != "home",
    "its row points to this run's copy, and it is uncontested": lambda m, r, s, t, p, c: (
        r == HOME and t is not None and t.etag == c and not m.contested
    ),
    "its source is gone": lambda m, r, s, t, p, c: s is None,
    "its source is as it was copied, and was not removed": lambda m, r, s, t, p, c: (
        s.etag == m.source_etag and m.state is not DocumentState.REMOVED
    ),
    "its source may be another document's by now": lambda m, r, s, t, p, c: m.contested,
    "its row points to another object of the home": lambda m, r, s, t, p, c: r != HOME,
    "its home object is gone": lambda m, r, s, t, p, c: t is None,
    "its home object is as it was copied from a source": lambda m, r, s, t, p, c: (
        t.etag == m.target_etag and m.source_etag is not None
    ),
    "its home object has the source's MD5 and size": lambda m, r, s, t, p, c: (
        (s.etag, s.size) == (t.etag, t.size) and s.etag != PARTS
    ),
    "its home object has the source's checksum and size": lambda m, r, s, t, p, c: p and s.size == t.size,
    "anything else": lambda m, r, s, t, p, c: True,
}


@given(lines, rows, objects, objects, st.booleans(), copies)
def test_the_decision_is_its_table(moved, row, source, target, is_proven, copied) -> None:
    seen = (moved, row, source, target, is_proven, copied)
    expected = next(verdict for line, verdict in truth_table(decide_late_write) if LINES[line](*seen))
    assert decide_late_write(moved, row, source, target, is_proven=is_proven, copied_etag=copied) == expected


def test_the_table_has_every_line_once() -> None:
    assert [line for line, _ in truth_table(decide_late_write)] == list(LINES)


@given(lines, rows, objects, objects, st.booleans(), copies)
def test_nothing_is_copied_over_what_is_not_ours(moved, row, source, target, is_proven, copied) -> None:
    if decide_late_write(moved, row, source, target, is_proven=is_proven, copied_etag=copied) is Verdict.COPY:
        assert row == moved.target
        assert target.etag == moved.target_etag
        assert not moved.contested


@given(lines, rows, objects, objects, st.booleans(), copies)
def test_only_the_runs_own_copy_is_recorded_without_its_source(moved, row, source, target, is_proven, copied) -> None:
    if decide_late_write(moved, row, source, target, is_proven=is_proven, copied_etag=copied) is Verdict.RECORD:
        assert (row, target.etag) == (moved.target, copied)
        assert not moved.contested


@given(lines, rows, objects, objects, copies)
def test_a_proof_is_asked_for_wherever_it_decides(moved, row, source, target, copied) -> None:
    decided = {
        decide_late_write(moved, row, source, target, is_proven=each, copied_etag=copied) for each in (False, True)
    }
    assert len(decided) == 1 or needs_proof(moved, source, target, copied_etag=copied)


@given(lines, rows, objects, objects)
def test_a_conflict_names_the_late_object_and_the_rows_pointer(moved, row, source, target) -> None:
    if decide_late_write(moved, row, source, target) is Verdict.CONFLICT:
        message = conflict_message(moved, row, source, target)
        assert f"s3://shared/k (ETag {source.etag})" in message
        assert moved.contested or f"s3://{row.bucket}/{row.key}" in message


BACK, AT_HOME = ObjectRef("shared", "k"), ObjectRef("home", "documents/a/a.txt")
returned_documents = st.builds(
    lambda source_etag, target_etag, contested, given_away: ReturnedDocument(
        "a",
        DocumentState.FLIPPED,
        AT_HOME,
        source_etag,
        BACK,
        target_etag,
        contested,
        name="a.txt",
        given_away=given_away,
    ),
    etags,
    etags,
    st.booleans(),
    st.booleans(),
)
rows_after = st.sampled_from([None, BACK, ObjectRef("shared", "elsewhere"), AT_HOME])

LINES_AT_HOME = {
    "its row is gone, and was not given to another tenant": lambda d, r, h, t, c: r is None and not d.given_away,
    "its object at home is gone": lambda d, r, h, t, c: h is None,
    "its object at home is as it was copied back": lambda d, r, h, t, c: h.etag == d.source_etag,
    "its object at home may be another document's by now": lambda d, r, h, t, c: d.contested,
    "its row points elsewhere": lambda d, r, h, t, c: r != BACK,
    "what its row points to is not as it was copied back": lambda d, r, h, t, c: t is None or t.etag != d.target_etag,
    "this run has copied its object at home to a free place": lambda d, r, h, t, c: c,
    "anything else": lambda d, r, h, t, c: True,
}


@given(returned_documents, rows_after, objects, objects, st.booleans())
def test_the_decision_at_home_is_its_table(returned, row, at_home, there, is_copied) -> None:
    seen = (returned, row, at_home, there, is_copied)
    table = truth_table(decide_late_write_at_home)
    assert [line for line, _ in table] == list(LINES_AT_HOME)
    expected = next(verdict for line, verdict in table if LINES_AT_HOME[line](*seen))
    assert decide_late_write_at_home(returned, row, at_home, there, is_copied=is_copied) == expected


@given(returned_documents, rows_after, objects, objects)
def test_a_conflict_at_home_names_what_a_person_compares(returned, row, at_home, there) -> None:
    if decide_late_write_at_home(returned, row, at_home, there) is Verdict.CONFLICT:
        message = conflict_message_at_home(returned, row, at_home)
        assert f"s3://home/documents/a/a.txt (ETag {at_home.etag})" in message
        assert returned.contested or ("another tenant" if row is None else f"s3://{row.bucket}/{row.key}") in message
