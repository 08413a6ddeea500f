"""What to do for one document: the truth table of decide, and what every decision must hold."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.copies import (
    HINTS,
    CopyRecord,
    Places,
    Reason,
    Standing,
    SurveyedDocument,
    decide,
    is_adoptable,
    is_md5,
)
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import Document, ListedObject, ObjectRef
from rehouse.core.naming import key_problem

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WINDOW = timedelta(hours=1)
MD5, OTHER, MULTIPART = "0" * 32, "1" * 32, "0" * 32 + "-2"
PLACES = Places(("shared", "older"), "home")

instants = st.sampled_from([NOW - timedelta(days=1), NOW - WINDOW, NOW - timedelta(minutes=59), NOW, NOW + WINDOW])
etags = st.sampled_from([MD5, OTHER, MULTIPART])
documents = st.builds(
    Document,
    id=st.sampled_from(["d1", ".."]),
    tenant_id=st.just(1),
    name=st.just("a.pdf"),
    bucket=st.sampled_from([None, "shared", "shared", "older", "home", "elsewhere"]),
    key=st.sampled_from([None, "", "k", "k", "k", "k", "s3://shared/k", "../x"]),
    etag=st.sampled_from([None, MD5, f'"{OTHER}"', MULTIPART]),
    uploaded_at=st.none() | instants,
)
objects = st.builds(
    ListedObject,
    key=st.just("k"),
    etag=etags,
    size=st.sampled_from([0, 7]),
    storage_class=st.sampled_from(["STANDARD"] * 4 + ["STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]),
    modified_at=instants,
)


@st.composite
def circumstances(draw: st.DrawFn) -> SurveyedDocument:
    """A document in any situation; the ledger's line is, half of the time, one that could be its own."""
    document = draw(documents)
    source, target = draw(st.none() | objects), draw(st.none() | objects)
    recorded = draw(
        st.none()
        | st.builds(
            CopyRecord,
            state=st.sampled_from(DocumentState),
            source=st.sampled_from([PLACES.source_of(document), ObjectRef("shared", "before")]),
            source_etag=st.just(source.etag) if source else st.sampled_from([None, MD5]),
            target=st.sampled_from([PLACES.target_of(document), ObjectRef("home", "before"), None]),
            target_etag=st.sampled_from([MD5, OTHER, None, target.etag if target else None]),
        )
    )
    near = draw(st.sampled_from([None, "/k"]))
    return SurveyedDocument(
        document, source, target, recorded, draw(st.booleans()), draw(st.booleans()), draw(st.booleans()), near
    )


def _points_at(seen: SurveyedDocument) -> ObjectRef:
    return ObjectRef(seen.document.bucket or "shared", seen.document.key or "")


def _is_accepted(seen: SurveyedDocument) -> bool:
    return seen.recorded is not None and seen.recorded.state == "accepted" and seen.recorded.source == _points_at(seen)


def _is_young(seen: SurveyedDocument) -> bool:
    return seen.document.uploaded_at is not None and NOW - seen.document.uploaded_at < WINDOW


def _stands(seen: SurveyedDocument) -> bool:
    line, source = seen.recorded, seen.source
    if line is None or source is None or line.state != "copied" or line.target_etag is None:
        return False
    ours = (
        line.source == _points_at(seen)
        and line.source_etag == source.etag
        and line.target == PLACES.target_of(seen.document)
    )
    return ours and (seen.recorded_now or (seen.target is not None and seen.target.etag == line.target_etag))


def _can_adopt(seen: SurveyedDocument) -> bool:
    one, other = seen.source, seen.target
    if one is None or other is None or seen.recorded_now:
        return False
    return one.etag == other.etag != MULTIPART and one.size == other.size and one.modified_at < other.modified_at


def _etag_at_home(seen: SurveyedDocument) -> str | None:
    line, target = seen.recorded, PLACES.target_of(seen.document)
    if seen.recorded_now and line is not None and line.target == target:
        return line.target_etag
    return seen.target.etag if seen.target else None


def _class_at_home(seen: SurveyedDocument) -> str:
    return "" if _was_taken(seen) or seen.target is None else seen.target.storage_class


def _is_about_it(seen: SurveyedDocument) -> bool:
    line, target = seen.recorded, PLACES.target_of(seen.document)
    etag = _etag_at_home(seen)
    if seen.source or seen.contested or line is None or etag is None:
        return False
    return (line.source, line.target, line.target_etag) == (_points_at(seen), target, etag)


def _was_taken(seen: SurveyedDocument) -> bool:
    line = seen.recorded
    return _is_about_it(seen) and line is not None and line.state == "copied" and line.source_etag is None


def _is_recorded_copy(seen: SurveyedDocument) -> bool:
    line = seen.recorded
    made = {"copied", "flipped", "superseded", "removing", "removed"}
    is_known = _is_about_it(seen) and line is not None and line.state in made and line.source_etag is not None
    return is_known and seen.target is not None and not seen.recorded_now


def _has_md5_of_row(seen: SurveyedDocument) -> bool:
    etag, target = (seen.document.etag or "").strip('"'), seen.target
    is_seen = target is not None and not (seen.source or seen.contested or seen.recorded_now)
    return is_seen and etag == _etag_at_home(seen) != MULTIPART


LINES: dict[str, Callable[[SurveyedDocument], bool]] = {
    "its row has no key": lambda seen: not seen.document.key,
    "its row points into its home": lambda seen: seen.document.bucket == "home",
    "accepted, and its row as it was then": _is_accepted,
    "its bucket is neither shared nor home": lambda seen: seen.document.bucket == "elsewhere",
    "no object, and its key can be no key of S3": lambda seen: (
        not seen.source and key_problem(seen.document.key or "") is not None
    ),
    "no object, and the ledger took the one at home for it": _was_taken,
    "no object, but the ledger's copy of it is at home": _is_recorded_copy,
    "no object, but the one at home has the MD5 of the row": _has_md5_of_row,
    "no object, its row younger than the upload window": lambda seen: not seen.source and _is_young(seen),
    "no object, but one of another spelling that is free": lambda seen: not seen.source and seen.near is not None,
    "no object, but one at home that nothing proves": lambda seen: (
        not seen.source and seen.target is not None and not seen.contested
    ),
    "no object": lambda seen: not seen.source,
    "another tenant's row points to its object": lambda seen: seen.contested,
    "its object is archived now": lambda seen: (
        seen.source is not None and seen.source.storage_class in {"GLACIER", "DEEP_ARCHIVE"}
    ),
    "the ledger's copy is of this source and stands": _stands,
    "the target has the same MD5 and size and is newer": _can_adopt,
    "a comparison proves that the target is a finished copy": lambda seen: (
        seen.is_proven and seen.target is not None and not seen.recorded_now
    ),
    "in a live home, something at the target that is not ours": lambda _: False,
    "anything else": lambda _: True,
}


def _a(key: str = "k", bucket: str | None = "shared") -> Document:
    return Document("d1", 1, "a.pdf", bucket, key, None, None)


SOURCE, NEWER = ListedObject("k", MD5, 7, "STANDARD", NOW), ListedObject("k", MD5, 7, "STANDARD", NOW + WINDOW)
FROZEN = ListedObject("k", MD5, 7, "GLACIER", NOW)
YOUNG = Document("d1", 1, "a.pdf", None, "k", None, NOW)
LINE = CopyRecord(DocumentState.COPIED, ObjectRef("shared", "k"), MD5, PLACES.target_of(_a()), MD5)
ACCEPTED = CopyRecord(DocumentState.ACCEPTED, ObjectRef("shared", "k"), None, None, None)
EXAMPLES = {
    "its row has no key": SurveyedDocument(_a("", "home"), None),
    "its row points into its home": SurveyedDocument(_a(bucket="home"), None, recorded=ACCEPTED),
    "accepted, and its row as it was then": SurveyedDocument(_a(), FROZEN, recorded=ACCEPTED, contested=True),
    "its bucket is neither shared nor home": SurveyedDocument(_a("../x", "elsewhere"), None),
    "no object, and its key can be no key of S3": SurveyedDocument(
        Document("d1", 1, "a", None, "../x", None, NOW), None
    ),
    "no object, and the ledger took the one at home for it": SurveyedDocument(
        replace(YOUNG, etag=MD5), None, NEWER, replace(LINE, source_etag=None)
    ),
    "no object, but the ledger's copy of it is at home": SurveyedDocument(replace(YOUNG, etag=MD5), None, NEWER, LINE),
    "no object, but the one at home has the MD5 of the row": SurveyedDocument(replace(YOUNG, etag=MD5), None, NEWER),
    "no object, its row younger than the upload window": SurveyedDocument(YOUNG, None, contested=True),
    "no object, but one of another spelling that is free": SurveyedDocument(_a(), None, contested=True, near="/k"),
    "no object, but one at home that nothing proves": SurveyedDocument(_a(), None, NEWER),
    "no object": SurveyedDocument(_a(), None, contested=True),
    "another tenant's row points to its object": SurveyedDocument(_a(), FROZEN, contested=True),
    "its object is archived now": SurveyedDocument(_a(), FROZEN, recorded=LINE, recorded_now=True),
    "the ledger's copy is of this source and stands": SurveyedDocument(_a(), SOURCE, NEWER, LINE),
    "the target has the same MD5 and size and is newer": SurveyedDocument(_a(), SOURCE, NEWER),
    "a comparison proves that the target is a finished copy": SurveyedDocument(_a(), SOURCE, SOURCE, is_proven=True),
    "in a live home, something at the target that is not ours": SurveyedDocument(_a(), SOURCE, SOURCE),
    "anything else": SurveyedDocument(_a(), SOURCE, SOURCE),
}


@given(circumstances())
@example(SurveyedDocument(_a(), SOURCE, NEWER, LINE, contested=True))
@example(SurveyedDocument(_a(), SOURCE, NEWER, replace(LINE, target=ObjectRef("home", "before"))))
@example(SurveyedDocument(_a(), SOURCE, NEWER, replace(LINE, source_etag=OTHER)))
@example(SurveyedDocument(_a(), SOURCE, NEWER, replace(LINE, source=ObjectRef("older", "k"))))
@example(SurveyedDocument(_a(), SOURCE, None, LINE))
@example(SurveyedDocument(_a(), SOURCE, NEWER, recorded_now=True))
@example(SurveyedDocument(replace(YOUNG, uploaded_at=NOW - WINDOW), None))
@example(SurveyedDocument(_a(), SOURCE, None, LINE, recorded_now=True))
@example(SurveyedDocument(_a(), SOURCE, SOURCE, recorded_now=True, is_proven=True))
@example(SurveyedDocument(_a(), FROZEN, None, replace(ACCEPTED, source=ObjectRef("shared", "before"))))
def test_a_decision_is_the_first_line_of_the_table_that_fits(seen: SurveyedDocument) -> None:
    lines = truth_table(decide)
    assert [text for text, _ in lines] == list(LINES)
    expected = next(to for text, to in lines if LINES[text](seen))
    decision = decide(seen, PLACES, now=NOW, upload_window=WINDOW)
    assert ", ".join(filter(None, (decision.standing, decision.reason))) == expected


@pytest.mark.parametrize("text", LINES)
def test_every_line_wins_over_those_below_it(text: str) -> None:
    """A document that fits the line and at least one later line too: nothing above may take it."""
    seen = EXAMPLES[text]
    expected = dict(truth_table(decide))[text]
    places = replace(PLACES, is_live="live home" in text)
    decision = decide(seen, places, now=NOW, upload_window=WINDOW)
    assert ", ".join(filter(None, (decision.standing, decision.reason))) == expected


@given(circumstances())
def test_only_what_is_to_be_copied_has_a_task(seen: SurveyedDocument) -> None:
    decision = decide(seen, PLACES, now=NOW, upload_window=WINDOW)
    assert (decision.task is not None) is (decision.standing in {Standing.COPIED, Standing.ADOPT, Standing.TO_COPY})
    assert (decision.reason is not None) is (decision.standing is Standing.QUARANTINED)
    if decision.reason:
        assert decision.detail
        assert HINTS[decision.reason]
    if decision.task:
        assert decision.task.source == _points_at(seen)
        told = (seen.source.etag, seen.source.storage_class) if seen.source else ("", _class_at_home(seen))
        assert (decision.task.source_etag, decision.task.storage_class) == told
        assert decision.standing is not Standing.TO_COPY or seen.source is not None
        assert decision.task.target == PLACES.target_of(seen.document)
        assert decision.task.target.bucket == "home"


@given(circumstances())
def test_a_copy_never_covers_what_was_not_seen(seen: SurveyedDocument) -> None:
    """The condition on the target is what is known to be there: nothing, the listing's ETag, or this run's own copy."""
    decision = decide(seen, PLACES, now=NOW, upload_window=WINDOW)
    if decision.standing is Standing.TO_COPY and decision.task and not seen.recorded_now:
        assert decision.task.replaces_etag == (seen.target.etag if seen.target else None)


@given(circumstances(), st.sampled_from(["home", "elsewhere"]))
def test_no_object_outside_the_shared_buckets_is_ever_a_source(seen: SurveyedDocument, bucket: str) -> None:
    document = Document(seen.document.id, 1, "a", bucket, seen.document.key, None, None)
    elsewhere = SurveyedDocument(document, seen.source, seen.target, seen.recorded, seen.contested, seen.recorded_now)
    assert decide(elsewhere, PLACES, now=NOW, upload_window=WINDOW).task is None


def test_a_null_bucket_is_the_first_shared_one() -> None:
    assert PLACES.source_of(_a(bucket=None)) == ObjectRef("shared", "k")


@given(objects, objects)
def test_adoption_needs_equal_md5s_sizes_and_a_newer_target(one: ListedObject, other: ListedObject) -> None:
    expected = one.etag == other.etag and one.etag in {MD5, OTHER} and one.size == other.size
    assert is_adoptable(one, other) is (expected and one.modified_at < other.modified_at)
    assert not is_adoptable(one, one)


@given(st.text(max_size=40))
def test_an_md5_is_32_lower_case_hex_digits(text: str) -> None:
    assert is_md5(text) is (len(text) == 32 and set(text) <= set("0123456789abcdef"))


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_way_out(reason: Reason) -> None:
    assert HINTS[reason]


@pytest.mark.parametrize(
    ("target", "recorded", "standing"),
    [
        (None, None, Standing.TO_COPY),
        (replace(SOURCE, etag=OTHER), replace(LINE, state=DocumentState.PLANNED, target_etag=OTHER), Standing.TO_COPY),
        (replace(SOURCE, etag=OTHER), replace(LINE, state=DocumentState.PLANNED), Standing.QUARANTINED),
        (replace(SOURCE, etag=OTHER), None, Standing.QUARANTINED),
        (NEWER, None, Standing.ADOPT),
    ],
)
def test_in_a_live_home_only_our_own_copy_is_ever_replaced(
    target: ListedObject | None, recorded: CopyRecord | None, standing: Standing
) -> None:
    """The application may have uploaded there and not have written its row yet."""
    live = replace(PLACES, is_live=True)
    assert (
        decide(SurveyedDocument(_a(), SOURCE, target, recorded), live, now=NOW, upload_window=WINDOW).standing
        is standing
    )


@pytest.mark.parametrize(
    ("key", "near", "told"),
    [
        ("k/my+file", "k/my file", "'k/my file'"),
        ("k/caf\u00e9", "k/cafe\u0301", r"'k/cafe\u0301'"),
        ("s3://shared/k", "k", "'k'"),
    ],
)
def test_another_spelling_is_named_so_that_it_can_be_told_apart(key: str, near: str, told: str) -> None:
    decision = decide(SurveyedDocument(_a(key), None, near=near), PLACES, now=NOW, upload_window=WINDOW)
    assert decision.reason in (Reason.OTHER_SPELLING, Reason.INVALID_KEY)
    assert decision.detail.endswith(f"an object that no row points to is at {told}")
    assert "delete the row" not in HINTS[decision.reason]
