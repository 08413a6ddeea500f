"""Decide the key of a file: a document that the application knows by its key alone, as Django's FileField does.

Pure functions. The application chooses the name, such as `invoices/2026/a.pdf`. In the tenant's home that is the key. In a shared
bucket the tenant's folder stands before it.
"""

from __future__ import annotations

import re

from rehouse.core.errors import BadUpload
from rehouse.core.model import TenantId
from rehouse.core.naming import MAX_KEY_BYTES, key_problem, tenant_folder

RESERVED = frozenset({"documents", "temp", "tenants", "returned"})
"""The first folders of the keys that rehouse gives itself: to documents by their ids, to uploads, and in the shared bucket."""
FOLDER = "files/"
_IDS = (re.compile("-?[0-9]+"), re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"))
"""Ids of which it is certain that they are no folder's name."""


def file_key(tenant_id: TenantId, name: str, *, is_shared: bool, max_characters: int = MAX_KEY_BYTES) -> str:
    """Return the key of a file, of its name or of the key that it would have had in another bucket.

    | bucket | name            | key of tenant 7           |
    |--------|-----------------|---------------------------|
    | home   | a/b.pdf         | a/b.pdf                   |
    | home   | tenants/7/a.pdf | a.pdf                     |
    | home   | tenants/8/a.pdf | files/tenants/8/a.pdf     |
    | home   | documents/5/a   | files/documents/5/a       |
    | home   | temp            | temp                      |
    | shared | a/b.pdf         | tenants/7/a/b.pdf         |
    | shared | tenants/7/a.pdf | tenants/7/a.pdf           |
    | shared | tenants/8/a.pdf | tenants/7/files/tenants/8/a.pdf |

    The key of a key is the same. Raises BadUpload if S3 cannot have it.
    """
    folder = tenant_folder(tenant_id, max_characters=min(max_characters, MAX_KEY_BYTES))
    plain = name.removeprefix(folder)
    first, slash, _ = plain.partition("/")
    if slash and first in RESERVED:
        plain = FOLDER + plain
    key = folder + plain if is_shared else plain
    problem = key_problem(key) or (plain.startswith("/") and "it begins with a slash") or None
    if problem is None and {".", ".."} & {*plain.split("/")}:
        problem = "it has a dot segment"
    if problem is None and not plain.strip("/"):
        problem = "it is empty"
    if problem is not None:
        raise BadUpload(f"the name {name[:80]!a} cannot be a file's: {problem}", hint="choose another name")
    return key


def is_own_key(tenant_id: TenantId, key: str, *, is_shared: bool, max_characters: int = MAX_KEY_BYTES) -> bool:
    """Return whether only a file of this tenant can have a key, in its home or in a shared bucket.

    >>> is_own_key(7, "tenants/7/a.pdf", is_shared=True), is_own_key(7, "uploads/a.pdf", is_shared=True)
    (True, False)
    """
    try:
        return file_key(tenant_id, key, is_shared=is_shared, max_characters=max_characters) == key
    except BadUpload:
        return False


def is_of_another_tenant(tenant_id: TenantId, key: str) -> bool:
    """Return whether a key lies in the folder that another tenant has in a shared bucket.

    A segment that is no id of the same kind may be a folder of an older layout, such as a slug.

    | tenant | key             | is another's |
    |--------|-----------------|--------------|
    | 7      | tenants/8/a     | yes          |
    | 7      | tenants/7/a     | no           |
    | 7      | tenants/acme/a  | no           |
    | 7      | uploads/8/a     | no           |
    | acme   | tenants/other/a | no           |
    """
    root, _, rest = key.partition("/")
    segment, slash, _ = rest.partition("/")
    if root != "tenants" or not slash or key.startswith(tenant_folder(tenant_id)):
        return False
    return any(kind.fullmatch(str(tenant_id)) and kind.fullmatch(segment) for kind in _IDS)
