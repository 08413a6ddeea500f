"""Which requests of a browser a grant allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rehouse.core.errors import NotGranted
from rehouse.core.upload_requests import Allowed, Purpose, UploadRequest, judge_request

KEY = "temp/g/a.pdf"
SINGLE = Allowed("g", KEY, "text/plain")
PARTS = Allowed("g", KEY, "text/plain", "u", 3)


@pytest.mark.parametrize(
    ("asked", "allowed", "purpose"),
    [
        (UploadRequest("PUT", KEY, content_type="Text/plain"), SINGLE, Purpose.PUT),
        (UploadRequest("POST", KEY), PARTS, Purpose.CREATE),
        (UploadRequest("PUT", KEY, "u", 1), PARTS, Purpose.PART),
        (UploadRequest("PUT", KEY, "u", 3), PARTS, Purpose.PART),
        (UploadRequest("GET", KEY, "u"), PARTS, Purpose.LIST),
        (UploadRequest("POST", KEY, "u"), PARTS, Purpose.COMPLETE),
        (UploadRequest("DELETE", KEY, "u"), PARTS, Purpose.ABORT),
    ],
)
def test_a_request_of_the_grant_is_allowed(asked, allowed, purpose):
    assert judge_request(asked, allowed) is purpose


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (UploadRequest("PUT", "documents/d1/a.pdf"), SINGLE),
        (UploadRequest("PUT", KEY, content_type="text/html"), SINGLE),
        (UploadRequest("PUT", KEY, "u", 1), SINGLE),
        (UploadRequest("PUT", KEY, part_number=1), SINGLE),
        (UploadRequest("POST", KEY), SINGLE),
        (UploadRequest("GET", KEY), SINGLE),
        (UploadRequest("DELETE", KEY), SINGLE),
        (UploadRequest("PUT", KEY), PARTS),
        (UploadRequest("DELETE", KEY), PARTS),
        (UploadRequest("PUT", KEY, "v", 1), PARTS),
        (UploadRequest("PUT", KEY, "", 1), PARTS),
        (UploadRequest("PUT", KEY, "u", 0), PARTS),
        (UploadRequest("PUT", KEY, "u", 4), PARTS),
        (UploadRequest("PUT", KEY, "u"), PARTS),
        (UploadRequest("GET", KEY, "u", 1), PARTS),
        (UploadRequest("HEAD", KEY, "u"), PARTS),
    ],
)
def test_any_other_request_is_refused(asked, allowed):
    with pytest.raises(NotGranted, match="the upload g does not allow") as raised:
        judge_request(asked, allowed)
    assert raised.value.subject == "g"


@given(
    some.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]), some.sampled_from([KEY, "temp/h/a.pdf", ""]),
    some.sampled_from([None, "u", "v", ""]), some.none() | some.integers(-1, 5), some.sampled_from([SINGLE, PARTS]),
)  # fmt: skip
def test_what_is_allowed_names_the_grant_s_own(method, key, upload_id, number, allowed):
    try:
        purpose = judge_request(UploadRequest(method, key, upload_id, number), allowed)
    except NotGranted:
        return
    assert (key, purpose is Purpose.PUT) == (allowed.key, allowed.upload_id is None)
    assert upload_id == (None if purpose in (Purpose.PUT, Purpose.CREATE) else allowed.upload_id)
    assert number is None or (purpose is Purpose.PART and 1 <= number <= allowed.parts)
