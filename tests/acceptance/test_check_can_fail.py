"""The independent check finds what an older tool did to documents: here each is done to a copy of what a good run left."""

from __future__ import annotations

from copy import deepcopy

import pytest
from tests.support import independent_check
from tests.support.independent_check import Outcome, Row
from tests.support.rooms import Migrated
from tests.support.sampling import LONG_SAMPLE

pytestmark = [*LONG_SAMPLE, pytest.mark.xdist_group("check")]


def an_object(after: Outcome) -> Row:
    return next(each for objects in after.stored.values() for each in objects.values())


def a_moved_row(after: Outcome) -> Row:
    homes = set(after.homes.values())
    return next(row for row in after.now.documents.values() if row["s3_bucket"] in homes)


def other_bytes(after: Outcome) -> None:
    an_object(after)["content"]["bytes"] = (1, "0")


def no_cache_control(after: Outcome) -> None:
    next(
        each["content"].update(CacheControl=None)
        for objects in after.stored.values()
        for each in objects.values()
        if each["content"]["CacheControl"]
    )


def no_tags(after: Outcome) -> None:
    next(
        each["content"]["tags"].clear()
        for objects in after.stored.values()
        for each in objects.values()
        if each["content"]["tags"]
    )


def no_object(after: Outcome) -> None:
    row = a_moved_row(after)
    del after.stored[row["s3_bucket"]][row["s3_key"]]


def anothers_object(after: Outcome) -> None:
    first, second, *_ = [home for home, objects in after.stored.items() if objects]
    after.stored[first]["documents/stray/x"] = an_object(after)
    assert second


def a_row_left_behind(after: Outcome) -> None:
    row = a_moved_row(after)
    row["s3_bucket"] = after.now.shared


def a_row_in_anothers_bucket(after: Outcome) -> None:
    row = a_moved_row(after)
    row["s3_bucket"] = next(home for home in after.homes.values() if home != row["s3_bucket"])


def a_source_removed(after: Outcome) -> None:
    after.now.objects.pop(next(iter(after.now.objects)))


def a_name_changed(after: Outcome) -> None:
    a_moved_row(after)["original_name"] = "x"


@pytest.mark.parametrize(
    "damage",
    [other_bytes, no_cache_control, no_tags, no_object, anothers_object, a_row_left_behind, a_row_in_anothers_bucket,
     a_source_removed, a_name_changed],
)  # fmt: skip
def test_damage_is_found(migrated: Migrated, damage) -> None:
    after = deepcopy(migrated.after)
    independent_check.check(migrated.before, after)
    damage(after)
    with pytest.raises(AssertionError):
        independent_check.check(migrated.before, after)
