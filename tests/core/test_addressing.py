"""What commands call a tenant: an address names one tenant of all, whatever the slugs are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.addressing import addresses, choose, choose_only_and_excluded
from rehouse.core.errors import Refused
from rehouse.core.model import Tenant, TenantId

SLUGS = st.one_of(st.none(), st.sampled_from(["", " ", "acme", "Acme", "1", "2", "3", "id:1", "id:2", "a-1", "id:"]))
IDS = st.one_of(st.integers(0, 4), st.sampled_from(["acme", "1x", "id:1", "a-1"]))


def named(slugs: dict[TenantId, str | None]) -> list[Tenant]:
    called = addresses(slugs)
    return [Tenant(each, called[each], called[each], None, True, slug) for each, slug in slugs.items()]


@pytest.mark.parametrize(
    ("slugs", "expected"),
    [
        ({1: "acme"}, {1: "acme"}),
        ({1: "acme", 2: "Acme"}, {1: "acme", 2: "Acme"}),
        ({1: "acme", 2: "acme"}, {1: "1", 2: "2"}),
        ({1: None, 2: "", 3: "  "}, {1: "1", 2: "2", 3: "3"}),
        ({1: "2", 2: "acme"}, {1: "1", 2: "acme"}),
        ({1: "2", 2: None}, {1: "1", 2: "id:2"}),
        ({1: "1"}, {1: "1"}),
        ({1: "id:2", 2: "b"}, {1: "1", 2: "b"}),
        ({"u-1": None}, {"u-1": "u-1"}),
    ],
)
def test_the_address_of_a_tenant(slugs: dict[TenantId, str | None], expected: dict[TenantId, str]) -> None:
    assert addresses(slugs) == expected


@given(st.dictionaries(IDS, SLUGS, max_size=7))
def test_an_address_names_one_tenant_and_is_the_way_to_it(slugs: dict[TenantId, str | None]) -> None:
    tenants = named(slugs)
    assert len({tenant.slug for tenant in tenants}) == len(tenants)
    for tenant in tenants:
        assert tenant.slug.strip()
        assert choose(tenant.slug, tenants) == tenant
        assert choose(f"id:{tenant.id}", tenants) == tenant


def test_an_ambiguous_slug_is_refused_and_both_ids_are_named() -> None:
    with pytest.raises(Refused, match=r"id 1 .* id 2 ") as refused:
        choose("acme", named({1: "acme", 2: "acme", 3: "globex"}))
    assert refused.value.hint == "name one of them by its id: 1 or 2"


def test_a_slug_that_is_anothers_id_is_refused() -> None:
    with pytest.raises(Refused, match=r"id 1 .*by its slug; .* id 2 .*by its id") as refused:
        choose("2", named({1: "2", 2: None}))
    assert refused.value.hint == "name one of them by its id: 1 or id:2"


def test_a_name_that_is_nobodys_is_refused_with_a_near_one() -> None:
    with pytest.raises(Refused, match="there is no tenant 'acm'") as refused:
        choose("acm", named({1: "acme", 2: "globex"}))
    assert refused.value.hint == "did you mean acme?"
    with pytest.raises(Refused) as refused:
        choose("GLOBEX", named({1: "acme", 2: "globex"}))
    assert refused.value.hint == "did you mean globex?"
    with pytest.raises(Refused) as refused:
        choose("gl", named({1: "acme", 2: "globex"}))
    assert refused.value.hint == "`rehouse status` lists the tenants"


def test_only_and_exclude_take_slugs_and_ids() -> None:
    tenants = named({1: "acme", 2: "acme", 3: "globex"})
    assert choose_only_and_excluded(tenants, ["1", "globex"], ["id:2"]) == ({1, 3}, {2})
    with pytest.raises(Refused):
        choose_only_and_excluded(tenants, [], ["acme"])
