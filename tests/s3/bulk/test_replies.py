"""What counts as an answer: only a whole one."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.s3_stub import COPIED, error

from rehouse.s3.bulk.replies import CopyReply, Reply, read_copy, read_head


def reply(body=b"", status=200, headers=(), errno=0):
    lines = [b"HTTP/1.1 200 OK\r\n", *(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers), b"\r\n"]
    return Reply(errno, "", status, lines, body)


def test_a_copy_tells_etag_version_and_checksum():
    body = COPIED.replace(b"</Copy", b"<ChecksumCRC64NVME>AAAA+/=</ChecksumCRC64NVME></Copy")
    assert read_copy(reply(body, headers=[("X-Amz-Version-Id", "v1")])) == CopyReply("0123abcd", "v1", "AAAA+/=")


@pytest.mark.parametrize("quotes", [b"&quot;", b'"', b"&#34;", b""])
def test_an_etag_is_read_however_it_is_quoted(quotes):
    assert read_copy(reply(COPIED.replace(b"&quot;", quotes))).etag == "0123abcd"


@given(st.integers(0, len(COPIED) - 1))
def test_a_copy_cut_anywhere_is_none(cut):
    assert read_copy(reply(COPIED[:cut])) is None


@pytest.mark.parametrize("body", [b"", b" \n ", error("InternalError"), b"<ETag>x</ETag>", COPIED + b"<Error>"])
def test_a_copy_that_is_something_else_is_none(body):
    assert read_copy(reply(body)) is None


FRAGMENTS = st.sampled_from(
    [b"<CopyObjectResult>", b"<CopyObjectResult xmlns='x'>", b"<CopyObjectResults>", b"</CopyObjectResult>", b"<ETag>", b"</ETag>",
     b"&quot;", b'"', b"0123abcd", b"ab-2", b"&lt;", b" ", b"\n", b"<Error>", b"<Code>InternalError</Code>"]
)  # fmt: skip


@given(st.lists(FRAGMENTS, max_size=8))
def test_only_a_whole_result_with_an_etag_is_a_copy(fragments):
    body = b"".join(fragments)
    whole = re.fullmatch(rb".*?<CopyObjectResult[\s>](.*)</CopyObjectResult>\s*", body, re.DOTALL)
    first = whole and re.match(rb"(?:(?!<ETag>).)*<ETag>([^<]*)</ETag>", whole[1], re.DOTALL)
    etag = first and re.fullmatch(rb"(?:&quot;|\")*([^<>&\"\s]+)(?:&quot;|\")*", first[1].strip())
    found = read_copy(reply(body))
    if found is None:
        assert etag is None or b"&quot;" in first[1]
    else:
        assert etag is not None
        assert found == CopyReply(etag[1].decode(), None, None)


def test_what_holds_markup_is_no_checksum():
    body = COPIED.replace(b"</Copy", b"<ChecksumCRC64NVME><b>x</b></ChecksumCRC64NVME></Copy")
    assert read_copy(reply(body)) == CopyReply("0123abcd", None, None)


def test_a_head_is_read_from_its_headers():
    headers = [
        ("ETag", '"aa-2"'),
        ("Content-Length", "7"),
        ("Last-Modified", "Sun, 01 Nov 2026 12:30:00 GMT"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-version-id", "v"),
        ("x-amz-checksum-crc64nvme", "AAAA"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ]
    found = read_head("k", reply(headers=headers))
    assert (found.object.etag, found.object.size, found.object.storage_class) == ("aa-2", 7, "STANDARD_IA")
    assert found.object.modified_at == datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
    assert (found.version, found.checksums) == ("v", {"crc64nvme": "AAAA", "type": "FULL_OBJECT"})
    for missing in range(3):
        lacking = read_head("k", reply(headers=headers[:missing] + headers[missing + 1 :]))
        assert (lacking.code, headers[missing][0] in lacking.message) == ("IncompleteObject", True)


def test_a_fault_has_s3s_code_and_sentence_on_one_line():
    fault = reply(error("NoSuchKey", "gone &amp; away\n\x1b[31m"), 404).fault()
    assert (fault.code, fault.message, fault.request_id) == ("NoSuchKey", "gone & away\\n\\x1b[31m", "R1")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (404, "NotFound"),
        (403, "AccessDenied"),
        (503, "ServiceUnavailable"),
        (307, "Redirect"),
        (418, "HTTP418"),
        (200, "IncompleteReply"),
    ],
)
def test_a_reply_without_a_code_has_one_from_its_status(status, code):
    assert reply(b"", status).fault().code == code


@pytest.mark.parametrize(
    ("errno", "code"), [(7, "Unreachable"), (60, "CertificateError"), (56, "ConnectionLost"), (18, "ConnectionLost")]
)
def test_a_transfer_that_did_not_end_has_our_code(errno, code):
    assert reply(errno=errno).fault().code == code


@given(st.binary(max_size=300), st.integers(100, 599))
def test_no_bytes_make_a_fault_fail(body, status):
    assert reply(body, status).fault().code
    assert read_copy(reply(body, status)) is None


def test_only_the_last_responses_headers_count():
    found = Reply(0, "", 200, [b"HTTP/1.1 100 Continue\r\n", b"A: 1\r\n", b"HTTP/1.1 200 OK\r\n", b"B: 2\r\n"], b"")
    assert found.headers() == {"b": "2"}


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("", None), ("Sun, 01 Nov 2026 12:30:00 GMT", None), ("-1", None)]
)
def test_retry_after_is_seconds_or_nothing(value, seconds):
    assert reply(headers=[("Retry-After", value)]).retry_after() == seconds
