"""What is sent to remove an object (a condition for each, never a version), and what is made of every answer."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from tests.support.s3_stub import Scripted, Seen, error, serving

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.delete_objects import RemovalOutcome, honours_conditions, remove
from rehouse.s3.session import Session

IDENTITY = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
    b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
)


def answered(deleted: list[str], **errors: str) -> Scripted:
    gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in deleted)
    left = "".join(
        f"<Error><Key>{key}</Key><Code>{code}</Code><Message>m</Message></Error>" for key, code in errors.items()
    )
    return Scripted(body=f"<DeleteResult>{gone}{left}</DeleteResult>".encode())


@pytest.fixture
def control_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Control]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")

    def make(url: str) -> Control:
        waits: list[float] = []
        return Control(Session(Settings(endpoint_url=url)), sleep=waits.append)

    return make


def asked(answer: Callable[[Seen], Scripted]) -> Callable[[Seen], Scripted]:
    """The stub's answers, with STS told apart."""
    return lambda seen: Scripted(body=IDENTITY) if seen.path == "/" else answer(seen)


def objects(seen: Seen) -> list[dict[str, str]]:
    root = etree.fromstring(seen.body)
    return [
        {etree.QName(field).localname: field.text for field in each}
        for each in root
        if etree.QName(each).localname == "Object"
    ]


def test_every_object_has_its_condition_and_none_a_version(control_of):
    with serving(asked(lambda _: answered(["a", "b ü"]))) as stub:
        control = control_of(stub.url)
        assert list(remove(control, "shared", {"a": "aa", "b ü": "bb"})) == [RemovalOutcome("a"), RemovalOutcome("b ü")]
        [request] = [seen for seen in stub.seen if seen.path != "/"]
    assert (request.method, request.path) == ("POST", "/shared?delete")
    assert objects(request) == [{"Key": "a", "ETag": '"aa"'}, {"Key": "b ü", "ETag": '"bb"'}]
    assert request.headers["x-amz-expected-bucket-owner"] == "123456789012"
    assert b"VersionId" not in request.body


def test_a_thousand_go_in_a_request(control_of):
    def answer(seen: Seen) -> Scripted:
        return answered([each["Key"] for each in objects(seen)])

    with serving(asked(answer)) as stub:
        removed = list(remove(control_of(stub.url), "shared", {f"k{n}": "aa" for n in range(2001)}))
        sizes = [len(objects(seen)) for seen in stub.seen if seen.path != "/"]
    assert sizes == [1000, 1000, 1]
    assert [each.fault for each in removed] == [None] * 2001


def test_what_stays_is_told_object_by_object(control_of):
    reply = answered(["gone"], other="PreconditionFailed", absent="NoSuchKey", locked="AccessDenied")
    with serving(asked(lambda _: reply)) as stub:
        keys = ["gone", "other", "absent", "locked", "forgotten"]
        removed = {each.key: each.fault for each in remove(control_of(stub.url), "shared", dict.fromkeys(keys, "aa"))}
    assert removed["gone"] is None
    assert removed["absent"] is None
    assert {key: fault.code for key, fault in removed.items() if fault} == {
        "other": "PreconditionFailed",
        "locked": "AccessDenied",
        "forgotten": "IncompleteReply",
    }


def test_only_what_s3_was_too_busy_for_is_asked_again(control_of):
    replies = [answered(["a"], b="SlowDown", c="InternalError", d="PreconditionFailed"), answered(["b"], c="SlowDown")]
    replies += [answered([], c="SlowDown")] * 2

    with serving(asked(lambda _: replies.pop(0))) as stub:
        removed = list(remove(control_of(stub.url), "shared", dict.fromkeys("abcd", "aa")))
        sent = [[each["Key"] for each in objects(seen)] for seen in stub.seen if seen.path != "/"]
    assert sent == [["a", "b", "c", "d"], ["b", "c"], ["c"], ["c"]]
    assert {each.key: each.fault.code if each.fault else None for each in removed} == {
        "a": None, "b": None, "c": "SlowDown", "d": "PreconditionFailed",
    }  # fmt: skip


@pytest.mark.parametrize(("status", "code", "kind"), [
    (403, "AccessDenied", StorageRefused), (404, "NoSuchBucket", StorageRefused), (400, "SlowDown", StorageUnavailable),
])  # fmt: skip
def test_a_request_that_failed_altogether_ends_the_run(control_of, status, code, kind):
    with serving(asked(lambda _: Scripted(status, error(code)))) as stub, pytest.raises(kind, match=code):
        list(remove(control_of(stub.url), "shared", {"a": "aa"}))


def test_a_key_unfit_for_xml_goes_alone_with_its_condition(control_of):
    with serving(asked(lambda _: Scripted(204, b""))) as stub:
        keys = {"a\x01b": "aa", "c\rd": "cc"}
        assert list(remove(control_of(stub.url), "shared", keys)) == [RemovalOutcome("a\x01b"), RemovalOutcome("c\rd")]
        sent = {seen.path: (seen.method, seen.headers["if-match"]) for seen in stub.seen if seen.path != "/"}
    assert sent == {"/shared/a%01b": ("DELETE", '"aa"'), "/shared/c%0Dd": ("DELETE", '"cc"')}


@pytest.mark.parametrize(("status", "code", "fault"), [
    (412, "PreconditionFailed", "PreconditionFailed"), (404, "NoSuchKey", None), (403, "AccessDenied", "AccessDenied"),
])  # fmt: skip
def test_what_becomes_of_such_a_key(control_of, status, code, fault):
    with serving(asked(lambda _: Scripted(status, error(code)))) as stub:
        [removed] = remove(control_of(stub.url), "shared", {"a\x01": "aa"})
    assert (removed.fault.code if removed.fault else None) == fault


def test_dot_segments_never_reach_a_path(control_of):
    with serving(asked(lambda _: answered(["../other/x"]))) as stub:
        removed = list(remove(control_of(stub.url), "shared", {"../other/x": "aa", "../other/\x01": "bb"}))
        assert [seen.path for seen in stub.seen if seen.path != "/"] == ["/shared?delete"]
    assert [each.fault.code if each.fault else None for each in removed] == [None, "InvalidKey"]


@pytest.mark.parametrize(
    ("reply", "is_honoured"),
    [
        ("NoSuchKey", True),
        ("PreconditionFailed", True),
        ("deleted", False),
        ("AccessDenied", False),
        ("SlowDown", False),
    ],
)
def test_conditions_are_probed_with_a_key_that_never_was(control_of, reply, is_honoured):
    def answer(seen: Seen) -> Scripted:
        [key] = [each["Key"] for each in objects(seen)]
        assert re.fullmatch("rehouse-never-was-[0-9a-f]{32}", key)
        return answered([key]) if reply == "deleted" else answered([], **{key: reply})

    with serving(asked(answer)) as stub:
        assert honours_conditions(control_of(stub.url), "shared") is is_honoured


def without_delete_objects(status: int, code: str, **singles: tuple[int, str]) -> Callable[[Seen], Scripted]:
    """The answers of a server that has DeleteObject alone; `singles`: what it answers to some of the keys."""

    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(status, error(code))
        found = next((reply for name, reply in singles.items() if name in seen.path), None)
        return Scripted(found[0], error(found[1])) if found else Scripted(204, b"")

    return asked(answer)


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed")])
def test_without_delete_objects_each_goes_with_its_condition(control_of, status, code):
    singles = {"other": (412, "PreconditionFailed"), "absent": (404, "NoSuchKey")}
    with serving(without_delete_objects(status, code, **singles)) as stub:
        control = control_of(stub.url)
        for keys in (["a b", "other", "absent"], ["c"]):
            found = {
                each.key: each.fault.code if each.fault else None
                for each in remove(control, "s", dict.fromkeys(keys, "aa"))
            }
            assert found == {key: "PreconditionFailed" if key == "other" else None for key in keys}
        sent = [(seen.method, seen.path, seen.headers.get("if-match")) for seen in stub.seen if seen.path != "/"]
    assert sent == [("POST", "/s?delete", None)] + [
        ("DELETE", f"/s/{key}", '"aa"') for key in ("a%20b", "other", "absent", "c")
    ]


@pytest.mark.parametrize(
    ("reply", "is_honoured"), [((404, "NoSuchKey"), True), ((412, "PreconditionFailed"), True), (None, False)]
)
def test_conditions_are_tried_the_way_that_is_taken_later(control_of, reply, is_honoured):
    singles = {"never-was": reply} if reply else {}
    with serving(without_delete_objects(501, "NotImplemented", **singles)) as stub:
        assert honours_conditions(control_of(stub.url), "shared") is is_honoured


@pytest.mark.parametrize("refusal", [
    error("InvalidRequest", "Missing required header for this request: Content-MD5"), error("MissingContentMD5"),
])  # fmt: skip
def test_content_md5_is_sent_where_it_is_wanted(control_of, refusal):
    def answer(seen: Seen) -> Scripted:
        return (
            answered([each["Key"] for each in objects(seen)])
            if "content-md5" in seen.headers
            else Scripted(400, refusal)
        )

    with serving(asked(answer)) as stub:
        control = control_of(stub.url)
        assert [list(remove(control, "shared", {key: "aa"})) for key in "ab"] == [
            [RemovalOutcome("a")],
            [RemovalOutcome("b")],
        ]
        requests = [seen for seen in stub.seen if seen.path != "/"]
    assert ["content-md5" in seen.headers for seen in requests] == [False, True, True]
    digest = hashlib.md5(requests[1].body, usedforsecurity=False).digest()
    assert requests[1].headers["content-md5"] == base64.b64encode(digest).decode()


def test_a_real_server_removes_only_what_is_unchanged(s3_server: Any, bucket: str, storage_settings: Settings) -> None:
    root = s3_server.root()
    etags = {key: root.put_object(Bucket=bucket, Key=key, Body=b"x")["ETag"].strip('"') for key in ("a", "b", "ü +%")}
    root.put_object(Bucket=bucket, Key="b", Body=b"newer")
    control = Control(Session(storage_settings))
    removed = {
        each.key: each.fault.code if each.fault else None for each in remove(control, bucket, etags | {"c": "aa"})
    }
    assert removed == {"a": None, "b": "PreconditionFailed", "ü +%": None, "c": None}
    assert [each["Key"] for each in root.list_objects_v2(Bucket=bucket)["Contents"]] == ["b"]
    assert honours_conditions(control, bucket)


@settings(max_examples=25)
@given(st.dictionaries(st.text(min_size=1, max_size=20), st.just("aa"), min_size=1, max_size=5))
def test_every_key_comes_back_once(keys):
    """Whatever S3 answers (here: nothing), each key has an outcome of its own."""
    with pytest.MonkeyPatch.context() as patch, serving(asked(lambda _: Scripted(body=b"<DeleteResult/>"))) as stub:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")
        control = Control(Session(Settings(endpoint_url=stub.url)), sleep=lambda _: None)
        assert sorted(each.key for each in remove(control, "shared", keys)) == sorted(keys)
