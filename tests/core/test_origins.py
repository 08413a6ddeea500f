"""Only what a browser sends is taken for an origin; for the rest the right form is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.origins import check_origin, origin_as_sent

SENT = [
    "https://app.example.com", "http://localhost:3000", "https://app.example.com:8443", "http://[::1]:3000", "http://127.0.0.1",
    "capacitor://localhost", "chrome-extension://abcdefgh", "https://xn--mller-kva.example", "http://under_score.example",
    "https://app.example.com:80", "http://app.example.com:443",
]  # fmt: skip
NOT_SENT = [
    ("https://app.example.com/", "https://app.example.com"),
    ("https://app.example.com/login?next=/", "https://app.example.com"),
    ("app.example.com", "https://app.example.com"),
    ("localhost:3000", "https://localhost:3000"),
    ("HTTPS://App.Example.com", "https://app.example.com"),
    ("https://app.example.com:443", "https://app.example.com"),
    ("http://app.example.com:80", "http://app.example.com"),
    ("https://app.example.com:", "https://app.example.com"),
    ("https://app.example.com:08443", "https://app.example.com:8443"),
    ("https://me:word@app.example.com", "https://app.example.com"),
    (" https://app.example.com", "https://app.example.com"),
    ('"https://app.example.com"', "https://app.example.com"),
    ("https://müller.example", "https://xn--mller-kva.example"),
    ("https://app.example.com#top", "https://app.example.com"),
]
NO_ORIGIN = ["", "https://", "https:///path", "https://a b.example", "https://a.example https://b.example", "https://a:99999",
             "https://a:port", "https://[::1", "https://a.example;https://b.example", "https://%2e.example"]  # fmt: skip


@pytest.mark.parametrize("origin", SENT)
def test_what_browsers_send_is_taken(origin):
    assert check_origin(origin) == origin


@pytest.mark.parametrize(("written", "sent"), NOT_SENT)
def test_what_no_browser_sends_is_refused_with_the_right_form(written, sent):
    with pytest.raises(ValueError, match=r"write .*") as refusal:
        check_origin(written)
    assert str(refusal.value).endswith(f"write {sent}")


@pytest.mark.parametrize("written", NO_ORIGIN)
def test_what_is_no_origin_is_refused_with_an_example(written):
    with pytest.raises(ValueError, match=r"https://app\.example\.com"):
        check_origin(written)


@pytest.mark.parametrize("written", ["*", "https://*.example.com", "*://app.example.com"])
def test_a_wildcard_is_refused(written):
    with pytest.raises(ValueError, match="exactly"):
        check_origin(written)


def test_a_password_is_not_repeated():
    with pytest.raises(ValueError, match=r"write https://app\.example\.com$") as refusal:
        check_origin("https://me:word@app.example.com/")
    assert "word@" not in str(refusal.value)


def test_the_origin_of_sandboxed_pages_is_refused():
    with pytest.raises(ValueError, match="sandboxed"):
        check_origin("null")


@given(st.text())
def test_the_form_that_is_named_is_taken(written):
    sent = origin_as_sent(written)
    if sent is not None:
        check_origin(sent)
