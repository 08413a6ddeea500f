"""Decide the key of a file: a document that the application knows by its key alone, as Django's FileField does.

Pure functions. The application chooses the name, such as `invoices/2026/a.pdf`. In the tenant's home that is the key. In a shared
bucket the tenant's folder stands before it.
"""

from __future__ import annotations

from rehouse.core.errors import BadUpload
from rehouse.core.model import TenantId
from rehouse.core.naming import MAX_KEY_BYTES, key_problem, tenant_folder

RESERVED = frozenset({"documents", "temp", "tenants", "returned"})
"""The first folders of the keys that rehouse gives itself: to documents by their ids, to uploads, and in the shared bucket."""
FOLDER = "files/"


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
