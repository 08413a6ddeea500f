"""Our signatures are botocore's, for every shape of request that is sent."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.requests import Address, copy_headers, key_path
from rehouse.s3.signing import query_string, quoted_key, sign

NOW = 1795392000.0
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
tokens = st.one_of(st.none(), st.text("ABCabc012+/=", min_size=1, max_size=80))
addresses = st.sampled_from(
    [
        ("http://127.0.0.1:9000", "us-east-1"),
        ("https://s3.example.org", "eu-west-3"),
        (None, "us-east-1"),
        (None, "eu-north-1"),
    ]
)


def botocore_authorization(method, url, headers, credentials, region, monkeypatch):
    import botocore.auth as auth

    moment = datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None)
    monkeypatch.setattr(auth, "get_current_datetime", lambda remove_tzinfo=True: moment)
    request = AWSRequest(method=method, url=url, headers=headers)
    request.context["signing"] = {"region": region}
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(Credentials(*credentials), "s3", region).add_auth(request)
    return request.headers["Authorization"]


@pytest.fixture(scope="module")
def patching():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["PUT", "GET", "HEAD"]),
    addresses,
    st.sampled_from(["bucket", "with.dots", "b-1"]),
    keys,
    st.lists(st.tuples(values.filter(bool), values), max_size=5),
    st.dictionaries(st.sampled_from(["if-match", "x-amz-copy-source", "x-amz-storage-class"]), values),
    tokens,
)
@example("PUT", (None, "us-east-1"), "bucket", "../other/escaped", [], {}, None)
@example("PUT", (None, "us-east-1"), "bucket", "a/./b//c/", [], {"if-match": "two  spaces   here "}, "t")
@example(
    "GET", ("http://h:1", "us-east-1"), "bucket", "%2e+%", [("a-b", ""), ("a", "b"), ("a", "B"), ("a!", "~")], {}, None
)
def test_the_signature_is_botocores(patching, method, address, bucket, key, query, headers, token):
    endpoint, region = address
    place = Address(endpoint, region)(bucket)
    path, query_text = place.path + key_path(key), query_string(query)
    credentials = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    lines = sign(method, place.host, path, query_text, headers, credentials=credentials, region=region, now=NOW)
    url = f"{place.origin}{path}" + (f"?{query_text}" if query_text else "")
    expected = botocore_authorization(method, url, headers, credentials, region, patching)
    assert f"authorization: {expected}" in lines


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=30))
@example("à")
@example("Å…")
def test_raw_utf8_is_signed_as_the_bytes_that_are_sent(patching, value):
    credentials = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
    place = Address("http://h:1", "us-east-1")("bucket")
    sent = {"x-amz-meta-50%s": value.encode().decode("latin-1")}
    lines = sign("POST", place.host, "/bucket/k", "", sent, credentials=credentials, region="us-east-1", now=NOW)
    expected = botocore_authorization(
        "POST", "http://h:1/bucket/k", {"x-amz-meta-50%s": value}, credentials, "us-east-1", patching
    )
    assert f"authorization: {expected}" in lines
    assert f"x-amz-meta-50%s:{value}" in [line.encode("latin-1").decode() for line in lines]


def test_every_signed_header_is_sent_once():
    lines = sign("GET", "h", "/b/k", "", {"if-match": "x"}, credentials=("a", "s", "t"), region="r", now=NOW)
    names = [line.partition(":")[0] for line in lines]
    assert sorted(names) == sorted(set(names))
    signed = next(line for line in lines if line.startswith("authorization")).partition("SignedHeaders=")[2]
    assert signed.partition(",")[0].split(";") == sorted(set(names) - {"authorization"})


@pytest.mark.parametrize("evil", ["a\r\nx-evil: 1", "a\nb", "a\0b"])
def test_a_value_that_would_break_out_of_its_line_is_refused(evil):
    with pytest.raises(ValueError, match="line break"):
        sign("GET", "h", "/b/k", "", {"if-match": evil}, credentials=("a", "s", None), region="r", now=NOW)
    task = CopyTask("1", ObjectRef("bucket", "k"), evil, 1, "STANDARD", ObjectRef("bucket", "t"))
    with pytest.raises(ValueError, match="line break"):
        copy_headers(task, None, guarded=True)


def test_the_secret_is_never_part_of_what_is_sent():
    lines = sign("GET", "h", "/b/k", "", {}, credentials=("AKID", "the-secret", None), region="r", now=NOW)
    assert "the-secret" not in "".join(lines)


@given(st.text())
def test_a_key_is_quoted_as_the_standard_library_quotes_it(key):
    assert quoted_key(key) == quote(key, safe="/~")
