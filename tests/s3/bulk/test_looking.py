"""HEADs and listings: nothing that failed ever looks empty or missing."""

import pytest
from tests.support.s3_keys import KEYS
from tests.support.s3_stub import Scripted, error, script

from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.model import CopyTask, ObjectRef


def test_a_head_tells_what_a_listing_tells_and_what_is_missing(plane, bucket, target, put):
    tasks = [put(key, target) for key in KEYS]
    listed = {found.key: found for page in plane.list(bucket) for found in page}
    heads = {head.ref.key: head for head in plane.head([*(task.source for task in tasks), ObjectRef(bucket, "nope")])}
    assert (heads["nope"].object, heads["nope"].fault) == (None, None)
    for key in KEYS:
        found = heads[key].object
        assert (found.key, found.etag, found.size) == (key, listed[key].etag, listed[key].size)
        assert found.modified_at == listed[key].modified_at.replace(microsecond=0)
    assert plane.requests["head"] == len(KEYS) + 1


def test_checksums_are_told_where_asked_for(plane, bucket, target, put):
    task = put("k", target, ChecksumAlgorithm="CRC32")
    (head,) = plane.head([task.source], with_checksums=True)
    assert head.checksums["crc32"]


def test_a_listing_goes_over_pages_and_stops_where_told(plane, root, bucket):
    for number in range(0, 2100, 100):
        root.put_object(Bucket=bucket, Key=f"a/{number:04}", Body=b"")
    root.put_object(Bucket=bucket, Key="b/1", Body=b"")

    def keys(**which):
        return [found.key for page in plane.list(bucket, **which) for found in page]

    assert len(keys()) == 22
    assert keys(prefix="b/") == ["b/1"]
    assert keys(after="a/1900") == ["a/2000", "b/1"]
    assert keys(after="a/1700", through="a/1900") == ["a/1800", "a/1900"]
    assert keys(through="a/0050") == ["a/0000"]
    assert keys(prefix="nothing") == []


def test_more_than_a_page_is_listed_whole(plane, root, bucket, target, put):
    source = put("k", target)
    tasks = [
        CopyTask(str(n), source.source, source.source_etag, 1, "STANDARD", ObjectRef(target, f"{n:04}"))
        for n in range(1203)
    ]
    assert all(outcome.fault is None for outcome in plane.copy(tasks))
    pages = list(plane.list(target))
    assert [len(page) for page in pages] == [1000, 203]
    assert [found.key for page in pages for found in page] == [f"{n:04}" for n in range(1203)]
    assert sum(len(page) for page in plane.list(target, through="0999")) == 1000
    assert plane.requests["list"] == 3


@pytest.mark.parametrize(
    "reply",
    [
        Scripted(200, b""),
        Scripted(200, b"<ListBucketResult><IsTruncated>false</IsTrunc"),
        Scripted(200, b"<ListBucketResult></ListBucketResult>"),
        Scripted(200, b"<Other><IsTruncated>false</IsTruncated></Other>"),
        Scripted(200, error("InternalError")),
        Scripted(503, error("SlowDown")),
        Scripted(reset=True),
    ],
)
def test_a_listing_that_is_not_whole_raises(stub_plane, reply):
    with script(reply) as stub, pytest.raises(StorageUnavailable):
        list(stub_plane(stub.url).list("shared"))


def test_a_listing_that_repeats_itself_or_strays_raises(stub_plane):
    entry = (
        "<Contents><Key>a</Key><ETag>x</ETag><Size>1</Size><LastModified>2026-11-01T00:00:00Z</LastModified></Contents>"
    )
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    page = f"<ListBucketResult>{entry}{more}</ListBucketResult>"
    with script(Scripted(200, page.encode())) as stub:
        with pytest.raises(StorageRefused):
            list(stub_plane(stub.url).list("shared"))
        with pytest.raises(StorageRefused):
            list(stub_plane(stub.url).list("shared", prefix="b"))
