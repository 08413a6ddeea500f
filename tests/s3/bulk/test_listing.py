"""A listing's page: what AWS and other servers send is read, whatever is not whole is refused."""

from datetime import UTC, datetime
from urllib.parse import quote_plus
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.s3_stub import Scripted, error, script, serving

from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.model import ListedObject, ObjectRef
from rehouse.s3.bulk.listing import Page, parse

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MOMENT = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def entry(key, *, etag="&quot;aa&quot;", size="1", modified="2026-11-01T12:30:00.000Z", more=""):
    fields = f"<LastModified>{modified}</LastModified><ETag>{etag}</ETag><Size>{size}</Size>{more}"
    return f"<Contents><Key>{key}</Key>{fields}</Contents>"


def page(*entries, namespace=NAMESPACE, truncated="false", more=""):
    inside = "".join(entries)
    return (
        f"<ListBucketResult{namespace}><IsTruncated>{truncated}</IsTruncated>{more}{inside}</ListBucketResult>".encode()
    )


@given(st.lists(keys, unique=True, max_size=20), st.sampled_from([NAMESPACE, ""]))
def test_every_key_survives_the_journey(names, namespace):
    names = sorted(names, key=str.encode)
    body = page(
        *(entry(escape(quote_plus(name, safe="/"))) for name in names),
        namespace=namespace,
        more=f"<EncodingType>url</EncodingType><KeyCount>{len(names)}</KeyCount>",
    )
    assert parse(body) == Page([ListedObject(name, "aa", 1, "STANDARD", MOMENT) for name in names], None)


def test_what_the_server_did_not_encode_is_not_decoded():
    assert parse(page(entry("a+b%20c"))).objects[0].key == "a+b%20c"


def test_the_storage_class_and_the_next_page_are_told():
    body = page(
        entry("k", more="<StorageClass>GLACIER</StorageClass><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"),
        truncated="true",
        more="<NextContinuationToken>1+/=</NextContinuationToken>",
    )
    found = parse(body)
    assert (found.objects[0].storage_class, found.token) == ("GLACIER", "1+/=")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<ListBucketResult>",
        page(entry("a"), entry("b"))[:-12],
        b"<Error><Code>SlowDown</Code></Error>",
        b"<ListBucketResult/>",
        page(truncated="true"),
        page(truncated="false", more="<NextContinuationToken>t</NextContinuationToken>"),
        page(truncated="perhaps"),
        page(entry("b"), entry("a")),
        page(entry("a"), entry("a")),
        page(entry("a"), more="<KeyCount>2</KeyCount>"),
        page(entry("")),
        page(entry("a", size="-1")),
        page(entry("a", size="")),
        page(entry("a", modified="yesterday")),
        page("<Contents><Key>a</Key></Contents>"),
        page(entry("a").replace("<Contents>", '<Contents xmlns="another">')),
        page(entry("a").replace("<Contents>", f"<Contents{NAMESPACE}>"), namespace=""),
        page(entry("a").replace("<Key>", '<Key xmlns="another">')),
        page(entry("%ff"), more="<EncodingType>url</EncodingType>"),
    ],
)
def test_what_is_no_whole_page_is_refused(body):
    with pytest.raises(ValueError, match="listing"):
        parse(body)


def test_entities_are_never_resolved():
    evil = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + page(entry("&e;"))
    with pytest.raises(ValueError, match="listing"):
        parse(evil)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_in_another_way(body):
    with pytest.raises(ValueError, match="listing"):
        parse(body)


@given(st.integers(0, 400))
def test_a_page_cut_anywhere_is_refused(cut):
    whole = page(entry("a"), entry("b"), entry("c"))
    if cut < len(whole):
        with pytest.raises(ValueError, match="listing"):
            parse(whole[:cut])


def test_a_page_may_be_empty_and_not_the_last(stub_plane):
    more = page(truncated="true", more="<NextContinuationToken>t</NextContinuationToken>")
    with script(Scripted(200, more), Scripted(200, page(entry("a")))) as stub:
        assert [[each.key for each in found] for found in stub_plane(stub.url).list("home")] == [[], ["a"]]


def test_a_listing_that_does_not_move_is_refused(stub_plane):
    more = page(truncated="true", more="<NextContinuationToken>t</NextContinuationToken>")
    with script(Scripted(200, more)) as stub, pytest.raises(StorageRefused, match="for ever"):
        list(stub_plane(stub.url).list("home"))
    assert len(stub.seen) == 2


UNUSABLE = {
    "is not in the order of its keys' bytes: 'b' comes before 'a'": page(entry("b"), entry("a")),
    "shows no ETag of 'a'": page(entry("a").replace("<ETag>&quot;aa&quot;</ETag>", "")),
    "shows no ETag of 'b'": page(entry("a"), entry("b", etag="")),
    "shows no LastModified of 'a'": page("<Contents><Key>a</Key><ETag>x</ETag><Size>1</Size></Contents>"),
    "the endpoint does not encode its keys": page(entry("a"), entry("b\x01c")),
    "does not offer ListObjectsV2": page(entry("a"), truncated="true", more="<NextMarker>a</NextMarker>"),
}


@pytest.mark.parametrize("reason", UNUSABLE)
def test_a_listing_of_another_kind_is_refused_at_once(stub_plane, reason):
    with script(Scripted(200, UNUSABLE[reason])) as stub, pytest.raises(StorageRefused) as refusal:
        list(stub_plane(stub.url).list("home"))
    assert len(stub.seen) == 1
    assert reason in refusal.value.message
    assert "order of the keys' bytes" in refusal.value.hint


def test_pages_out_of_order_are_refused_with_the_reason(stub_plane):
    more = page(entry("b"), truncated="true", more="<NextContinuationToken>t</NextContinuationToken>")
    pages = Scripted(200, more), Scripted(200, page(entry("a")))
    with script(*pages) as stub, pytest.raises(StorageRefused, match="'a' comes after 'b'"):
        list(stub_plane(stub.url).list("home"))
    assert len(stub.seen) == 2


def test_a_server_without_this_listing_is_named_at_once(stub_plane):
    lacking = Scripted(501, error("NotImplemented", "ListObjectsV2 is not implemented"))
    with script(lacking) as stub, pytest.raises(StorageRefused, match="ListObjectsV2 is not implemented"):
        list(stub_plane(stub.url).list("home"))
    assert len(stub.seen) == 2, "once with the question for restores, once without"


def test_what_is_no_listing_is_told_after_the_last_attempt(stub_plane):
    with (
        script(Scripted(200, b"<html>hello</html>")) as stub,
        pytest.raises(StorageUnavailable, match=r"not a listing|no listing"),
    ):
        list(stub_plane(stub.url).list("home"))


def test_restores_are_told():
    status = "<RestoreStatus><IsRestoreInProgress>{}</IsRestoreInProgress>{}</RestoreStatus>"
    ended = status.format("false", "<RestoreExpiryDate>2033-12-23T00:00:00Z</RestoreExpiryDate>")
    archived = "<StorageClass>GLACIER</StorageClass>"
    body = page(
        entry("a", more=archived + ended),
        entry("b", more=archived + status.format("true", "")),
        entry("c", more=archived),
    )
    assert [each.storage_class for each in parse(body).objects] == ["GLACIER_RESTORED", "GLACIER", "GLACIER"]


@pytest.mark.parametrize("lacking", ["ETag", "Last-Modified"])
def test_a_head_that_lacks_something_is_final_and_says_what(stub_plane, lacking):
    headers = {"ETag": '"aa"', "Last-Modified": "Sun, 01 Nov 2026 12:30:00 GMT", "Content-Length": "1"}
    del headers[lacking]
    with serving(lambda seen: Scripted(200, b"", headers) if seen.method == "HEAD" else Scripted()) as stub:
        (head,) = stub_plane(stub.url).head([ObjectRef("home", "k")])
    assert (head.object, head.fault.code) == (None, "IncompleteObject")
    assert lacking in head.fault.message
    assert [each.method for each in stub.seen].count("HEAD") == 1
