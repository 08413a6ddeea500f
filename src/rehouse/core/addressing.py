"""The address of a tenant: the name that commands and reports use for it.

The address is the slug, or the id if the slug is missing or also names another tenant. An address names exactly one
tenant. `id:7` always means the tenant with the id 7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rehouse.core.errors import UnknownTenant
from rehouse.core.model import Tenant, TenantId
from rehouse.core.near_names import near_names

BY_ID = "id:"
"""The prefix of an argument that can only be an id."""


def addresses(slugs: Mapping[TenantId, str | None]) -> dict[TenantId, str]:
    """Return tenant id → address; `slugs` must hold the slugs of all tenants.

    | slug                                                          | id                     | address  |
    |---------------------------------------------------------------|------------------------|----------|
    | of this tenant alone, and no other tenant's id                | any                    | the slug |
    | empty, blank, another tenant's too, or begins with `id:`      | no other tenant's slug | the id   |
    | the same                                                      | another tenant's slug  | `id:` id |

    >>> addresses({1: "acme", 2: None, 3: "globex", 4: "globex", 5: "2"})
    {1: 'acme', 2: 'id:2', 3: '3', 4: '4', 5: '5'}
    """
    owners = Counter(slug for slug in slugs.values() if slug)
    ids = {str(tenant_id): tenant_id for tenant_id in slugs}
    return {tenant_id: _address(tenant_id, slug or "", owners, ids) for tenant_id, slug in slugs.items()}


def _address(tenant_id: TenantId, slug: str, owners: Mapping[str, int], ids: Mapping[str, TenantId]) -> str:
    is_its_own = owners.get(slug) == 1 and ids.get(slug, tenant_id) == tenant_id
    if slug.strip() and is_its_own and not slug.startswith(BY_ID):
        return slug
    text = str(tenant_id)
    is_only_an_id = owners.get(text, 0) == (slug == text) and not text.startswith(BY_ID)
    return text if text and is_only_an_id else BY_ID + text


def choose(named: str, tenants: Sequence[Tenant]) -> Tenant:
    """Return the tenant that an argument names by its slug, its id, or `id:` and its id.

    Raises Refused if no tenant matches (the hint suggests similar addresses), and if several tenants match (the hint lists
    their addresses).
    """
    if named.startswith(BY_ID):
        found = [tenant for tenant in tenants if str(tenant.id) == named.removeprefix(BY_ID)]
    else:
        found = [tenant for tenant in tenants if named in {tenant.own_slug, str(tenant.id)}]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnknownTenant(
            f"{named!r} names {len(found)} tenants: {'; '.join(_describe(tenant, named) for tenant in found)}",
            hint=f"name one of them by its id: {' or '.join(tenant.slug for tenant in found)}",
            subject=named,
        )
    close = near_names(named, [tenant.slug for tenant in tenants])
    hint = f"did you mean {' or '.join(close)}?" if close else "`rehouse status` lists the tenants"
    raise UnknownTenant(f"there is no tenant {named!r}", hint=hint, subject=named)


def choose_only_and_excluded(
    tenants: Sequence[Tenant], only: Iterable[str], exclude: Iterable[str]
) -> tuple[set[TenantId], set[TenantId]]:
    """Return the tenant ids that `--only` and `--exclude` name.

    Raises Refused as `choose` does.
    """
    chosen, left_out = ({choose(named, tenants).id for named in names} for names in (only, exclude))
    return chosen, left_out


def _describe(tenant: Tenant, named: str) -> str:
    how = "its slug" if tenant.own_slug == named else "its id"
    state = "" if tenant.is_active else ", inactive"
    return f"the tenant with the id {tenant.id} ({tenant.name}{state}) by {how}"
