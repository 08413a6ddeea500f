"""Where requests go: nothing but the bucket and the key that were meant."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.model import ObjectRef
from rehouse.s3.bulk.requests import copy_seconds, copy_source, key_path, list_query
from rehouse.s3.endpoint import check_bucket_name


@pytest.mark.parametrize("bucket", ["", "a", "a/b", "../x", "a?b", "a#b", "a b", "a@b", "a:1", "ä", "a\n"])
def test_what_is_no_bucket_is_refused(bucket):
    with pytest.raises(ValueError, match="bucket"):
        check_bucket_name(bucket)
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
