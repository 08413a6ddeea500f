"""Our signatures are botocore's, for every shape of request that is sent."""

from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.bulk.requests import copy_headers, key_path
from rehouse.s3.bulk.signing import UNSIGNED_PAYLOAD, query_string, quote_key, sign
from rehouse.s3.endpoint import Endpoint

NOW = 1795392000.0
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
tokens = st.one_of(st.none(), st.text("ABCabc012+/=", min_size=1, max_size=80))
PATH_STYLE = Endpoint("http://127.0.0.1:9000", "127.0.0.1:9000", "/with.dots/", "bucket", "us-east-1")
BASE_PATH = Endpoint("https://s3.example.org", "s3.example.org", "/base/bucket/", "bucket", "eu-west-3")
VIRTUAL_HOST = Endpoint(
    "https://b-1.s3.eu-north-1.amazonaws.com", "b-1.s3.eu-north-1.amazonaws.com", "/", "bucket", "eu-north-1"
)
OUTPOSTS = Endpoint("https://b.example.org", "b.example.org", "/", "bucket", "eu-north-1", "s3-outposts")
endpoints = st.sampled_from([PATH_STYLE, BASE_PATH, VIRTUAL_HOST, OUTPOSTS])


def botocore_authorization(method, url, headers, credentials, endpoint, monkeypatch, body=b""):
    import botocore.auth as auth

    moment = datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None)
    monkeypatch.setattr(auth, "get_current_datetime", lambda remove_tzinfo=True: moment)
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    request.context["signing"] = {"region": endpoint.region, "signing_name": endpoint.service}
    request.context["client_config"] = Config(s3={"payload_signing_enabled": body is not None})
    S3SigV4Auth(Credentials(*credentials), endpoint.service, endpoint.region).add_auth(request)
    return request.headers["Authorization"]


@pytest.fixture(scope="module")
def patching():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["PUT", "GET", "HEAD"]),
    endpoints,
    keys,
    st.lists(st.tuples(values.filter(bool), values), max_size=5),
    st.dictionaries(st.sampled_from(["if-match", "x-amz-copy-source", "x-amz-storage-class"]), values),
    tokens,
)
@example("PUT", VIRTUAL_HOST, "../other/escaped", [], {}, None)
@example("PUT", VIRTUAL_HOST, "a/./b//c/", [], {"if-match": "two  spaces   here "}, "t")
@example("GET", PATH_STYLE, "%2e+%", [("a-b", ""), ("a", "b"), ("a", "B"), ("a!", "~")], {}, None)
def test_the_signature_is_botocores(patching, method, endpoint, key, query, headers, token):
    path, query_text = endpoint.path + key_path(key), query_string(query)
    credentials = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)
    lines = sign(
        method, endpoint.host, path, query_text, headers,
        credentials=credentials, region=endpoint.region, service=endpoint.service, now=NOW,
    )  # fmt: skip
    url = f"{endpoint.origin}{path}" + (f"?{query_text}" if query_text else "")
    expected = botocore_authorization(method, url, headers, credentials, endpoint, patching)
    assert f"authorization: {expected}" in lines


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("body", [b"", b"hello", b"\0" * 100_000, None], ids=["empty", "small", "large", "unsigned"])
def test_a_body_is_signed_as_botocore_signs_it(patching, method, body):
    credentials = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
    headers = {"content-type": "application/pdf", "if-none-match": "*"}
    endpoint = VIRTUAL_HOST
    lines = sign(
        method, endpoint.host, "/k", "", headers, credentials=credentials, region=endpoint.region, now=NOW,
        payload=UNSIGNED_PAYLOAD if body is None else sha256(body).hexdigest(),
    )  # fmt: skip
    expected = botocore_authorization(method, f"{endpoint.origin}/k", headers, credentials, endpoint, patching, body)
    assert f"authorization: {expected}" in lines


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=30))
@example("à")
@example("Å…")
def test_raw_utf8_is_signed_as_the_bytes_that_are_sent(patching, value):
    credentials = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)
    endpoint = Endpoint("http://h:1", "h:1", "/bucket/", "bucket", "us-east-1")
    sent = {"x-amz-meta-50%s": value.encode().decode("latin-1")}
    lines = sign("POST", endpoint.host, "/bucket/k", "", sent, credentials=credentials, region="us-east-1", now=NOW)
    expected = botocore_authorization(
        "POST", "http://h:1/bucket/k", {"x-amz-meta-50%s": value}, credentials, endpoint, patching
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
    assert quote_key(key) == quote(key, safe="/~")
