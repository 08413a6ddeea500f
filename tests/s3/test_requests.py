"""Where requests go: nothing but the bucket and the key that were meant."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.model import ObjectRef
from rehouse.s3.requests import Address, copy_seconds, copy_source, key_path, list_query


@pytest.mark.parametrize(
    ("endpoint", "region", "bucket", "origin", "path"),
    [
        (None, "us-east-1", "home", "https://home.s3.us-east-1.amazonaws.com", "/"),
        (None, "eu-west-1", "with.dots", "https://s3.eu-west-1.amazonaws.com", "/with.dots/"),
        (None, "cn-north-1", "home", "https://home.s3.cn-north-1.amazonaws.com.cn", "/"),
        ("http://127.0.0.1:9000", "us-east-1", "home", "http://127.0.0.1:9000", "/home/"),
        ("https://s3.example.org/", "us-east-1", "home", "https://s3.example.org", "/home/"),
        ("https://s3.example.org:443/base", "us-east-1", "home", "https://s3.example.org", "/base/home/"),
        ("http://[::1]:9000", "us-east-1", "home", "http://[::1]:9000", "/home/"),
    ],
)
def test_a_bucket_is_addressed(endpoint, region, bucket, origin, path):
    place = Address(endpoint, region)(bucket)
    assert (place.origin, place.host, place.path) == (origin, origin.partition("://")[2], path)


@pytest.mark.parametrize("bucket", ["", "a", "a/b", "../x", "a?b", "a#b", "a b", "a@b", "a:1", "ä", "a\n"])
def test_what_is_no_bucket_is_refused(bucket):
    with pytest.raises(ValueError, match="bucket"):
        Address("http://h", "r")(bucket)
    with pytest.raises(ValueError, match="bucket"):
        copy_source(ObjectRef(bucket, "k"))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_key_is_encoded_so_that_it_is_one_path_and_comes_back(key):
    path = key_path(key)
    assert path.isascii()
    assert not set(path) & set("?#+ \\\r\n\0")
    assert unquote(path) == key


def test_an_empty_key_would_be_the_bucket_and_is_refused():
    with pytest.raises(ValueError, match="key"):
        key_path("")


def test_a_continuation_takes_the_place_of_the_start():
    assert list_query("p/", "a", None) == "encoding-type=url&list-type=2&max-keys=1000&prefix=p%2F&start-after=a"
    assert list_query("", "a", "t+") == "continuation-token=t%2B&encoding-type=url&list-type=2&max-keys=1000"


def test_large_objects_get_more_time():
    assert copy_seconds(0) == 60
    assert copy_seconds(5 * 1024**3) > 300
