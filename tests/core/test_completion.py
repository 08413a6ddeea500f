"""What completion offers, and that no password has a part in the names of its files."""

from __future__ import annotations

import shlex
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.completion import drop_equals_signs, identity, is_completable, matching_names, place

SAFE = st.text(st.sampled_from("abcXYZ019-_."), min_size=1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:secret@db:5432/app", "me@db:5432/app?"),
        ("postgresql://me:se@cret/x@db/app", "me@db/app?"),
        ("postgresql://[::1]:5432,other:6/app?password=secret&host=/tmp", "@[::1]:5432,other:6/app?host=/tmp"),
        ("jdbc:postgresql://db/app?user=me&password=secret&currentSchema=x", "@db/app?user=me&currentSchema=x"),
        ("dbname=app password='se cret' host=db", "dbname=app host=db"),
        ("postgresql://me:sec?ret@db/app", None),
        ("postgresql://me:secret/app", None),
        ("host = db password = secret", None),
        ("password='it\\'s' host=db", None),
        ("host='db", None),
        ("password=secret", None),
        ("", None),
    ],
)
def test_a_place_is_told_without_its_password(url: str, expected: str | None) -> None:
    assert place(url) == expected


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_password_changes_the_identity(one: str, other: str) -> None:
    def identities(password: str) -> list[str | None]:
        urls = (
            f"postgresql://me:{quote(password, safe='')}@db/app",
            f"postgresql://db/app?user=me&password={quote(password, safe='')}",
        )
        return [identity({"DATABASE_URL": url, "PGPASSWORD": password}, "") for url in urls]

    assert None not in identities(one)
    assert identities(one) == identities(other)


@given(st.text(), st.text())
def test_no_raw_password_changes_the_identity(one: str, other: str) -> None:
    """Not even one that the URL lacks the right escapes for: such a string has this identity, or none."""
    for template in ("postgresql://me:{}@db/app", "host=db dbname=app password={}"):
        found = {place(template.format(each)) for each in (one, shlex.quote(other))}
        assert found <= {place(template.format("secret")), None}


@pytest.mark.parametrize(
    "other",
    [
        {"DATABASE_URL": "postgresql://db/other"},
        {"DATABASE_URL": "postgresql://db/app", "PGPORT": "5433"},
        {"DATABASE_URL": "postgresql://db/app", "REHOUSE_MAPPING_TENANTS_TABLE": "accounts"},
    ],
)
def test_databases_and_mappings_have_their_own_identity(other: dict[str, str]) -> None:
    assert identity(other, "") != identity({"DATABASE_URL": "postgresql://db/app"}, "")
    assert identity(other, "") != identity(other, "/home/me/rehouse.toml")


@given(st.lists(st.text()), st.text(max_size=2))
def test_what_is_offered_needs_no_quotes(names: list[str], incomplete: str) -> None:
    for name in matching_names([*names, "acme"], incomplete):
        assert shlex.split(name) == [name]
        assert name.startswith(incomplete)
        assert not set(name) & set("\n :=$`\"'*?[]{}()<>|&;~!#%^\\,@")
        assert is_completable(name)


@given(st.lists(SAFE, min_size=1), st.data())
def test_words_that_bash_broke_are_whole_again(values: list[str], data: st.DataObject) -> None:
    broken = ["rehouse", "verify-all", *(word for value in values for word in ("--only", "=", value))]
    current = data.draw(st.integers(0, len(values) - 1))
    words, number = drop_equals_signs(broken, 4 + 3 * current)
    assert words == ["rehouse", "verify-all", *(word for value in values for word in ("--only", value))]
    assert words[number] == values[current]
    assert drop_equals_signs(["rehouse", "status", "--only", "="], 3) == (["rehouse", "status", "--only", "="], 3)
