"""Names of buckets and keys: tenant → bucket name, document → object key, file name → safe file name.

These functions accept any text and return a valid name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import quote

MAX_BUCKET_NAME = 63
MAX_KEY_BYTES = 1024
MAX_NAME_BYTES = 255
SUFFIX_DIGITS = 8
REGIONAL = re.compile(r"-\d{12}-[a-z]{2,}(-[a-z]+)+-\d+-an$")
"""The end of a bucket's name in the account-regional namespace."""
NOT_RESERVED = "x" * SUFFIX_DIGITS
"""Stands in a bucket's name where the random characters will be."""
_NOT_KEPT = re.compile(r"[^A-Za-z0-9._]+")
"""What a single hyphen replaces in an ASCII name; a run of hyphens becomes one hyphen as well."""
_HYPHENS = re.compile(r"-{2,}")

_WINDOWS_NAMES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)


def bucket_name(prefix: str, slug: str, suffix: str, *, namespace: str = "") -> str:
    """Return `{prefix}-{slug}-{suffix}` as a valid bucket name.

    `suffix` is 8 hex characters that distinguish truncated slugs. `namespace` is `-{account}-{region}-an` for the
    account-regional namespace, else empty.

    >>> bucket_name("dataroom-saas", "Acme Corp.", "a1b2c3d4")
    'dataroom-saas-acme-corp-a1b2c3d4'
    """
    room = MAX_BUCKET_NAME - len(prefix) - len(suffix) - len(namespace) - 2
    middle = dns_label(slug)[: max(room, 0)].strip("-")
    return "-".join(part for part in (prefix, middle, suffix) if part) + namespace


def log_bucket_name(prefix: str, account: str | None, namespace: str = "") -> str:
    """Return the default name of the bucket for access logs.

    No tenant's bucket can have this name, and the pattern `{prefix}-*` does not match it. A prefix that is too long for it is cut,
    and 8 hex characters of its digest are added.

    >>> log_bucket_name("acme", "123456789012"), log_bucket_name("acme", "123456789012", "-123456789012-eu-west-1-an")
    ('logs-acme-123456789012', 'logs-acme-123456789012-eu-west-1-an')
    """
    ending = namespace or (f"-{account}" if account else "")
    room = MAX_BUCKET_NAME - len(f"logs-{ending}")
    if len(prefix) > room:
        digest = hashlib.sha256(prefix.encode()).hexdigest()[:SUFFIX_DIGITS]
        prefix = f"{prefix[: max(room - SUFFIX_DIGITS - 1, 0)].rstrip('-')}-{digest}".lstrip("-")
    return f"logs-{prefix}{ending}"


def is_named_for(bucket: str, prefix: str, slug: str) -> bool:
    """Return whether the bucket has a name that `bucket_name` gives to this tenant, in either namespace.

    >>> is_named_for("saas-acme-1f0c9a7e", "saas", "acme"), is_named_for("saas-acme-corp-1f0c9a7e", "saas", "acme")
    (True, False)
    """
    regional = REGIONAL.search(bucket)
    return is_drawn_for(bucket_name(prefix, slug, NOT_RESERVED, namespace=regional[0] if regional else ""), bucket)


def is_drawn_for(planned: str, bucket: str) -> bool:
    """Return whether the bucket has a name that was drawn for the planned one, which ends in NOT_RESERVED instead.

    >>> is_drawn_for("saas-acme-xxxxxxxx", "saas-acme-1f0c9a7e"), is_drawn_for("saas-acme-1f0c9a7e", "saas-acme-xxxxxxxx")
    (True, False)
    """
    front, marker, back = planned.rpartition(NOT_RESERVED)
    drawn = re.escape(front) + f"[0-9a-f]{{{SUFFIX_DIGITS}}}" + re.escape(back)
    return bool(marker) and re.fullmatch(drawn, bucket) is not None


def is_global(bucket: str) -> bool:
    """Return whether another account could take the bucket's name after the bucket is deleted.

    >>> is_global("dataroom-saas-acme-a1b2c3d4"), is_global("dataroom-saas-acme-a1b2c3d4-123456789012-eu-west-1-an")
    (True, False)
    """
    return not REGIONAL.search(bucket)


def dns_label(slug: str) -> str:
    """Return the slug in `a-z 0-9 -`: accents stripped, other characters replaced by a hyphen, `tenant` if empty."""
    plain = unicodedata.normalize("NFKD", slug).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "tenant"


def target_key(document_id: str, name: str, *, former: str | None = None, max_characters: int = MAX_KEY_BYTES) -> str:
    """Return the key `documents/{document id}/{sanitised name}`.

    It has at most 1,024 bytes and `max_characters` characters (the length of the key column). The id is percent-encoded, so that
    different ids never give the same key, even with `/`, `..` or `?`. With `former`, a key that the document had before, the name
    begins with 8 hex characters of that key's digest, which gives another key beside the usual one.

    >>> target_key("7f3a", "Q3 report?.pdf")
    'documents/7f3a/Q3-report-.pdf'
    >>> target_key("7f3a", "a.pdf", former="uploads/a.pdf")
    'documents/7f3a/9ed57f30-a.pdf'
    """
    limit = min(MAX_KEY_BYTES, max_characters)
    folder = target_folder(document_id, max_characters=max_characters)
    if former is not None:
        folder += hashlib.sha256(former.encode("utf-8", "surrogatepass")).hexdigest()[:SUFFIX_DIGITS] + "-"
    room = min(MAX_NAME_BYTES, limit - len(folder))
    return folder + sanitise(name, max_bytes=room)


def target_folder(document_id: str, *, max_characters: int = MAX_KEY_BYTES) -> str:
    """Return the prefix in the home that only keys of this document have."""
    return f"documents/{_id_segment(document_id, min(MAX_KEY_BYTES, max_characters) // 2)}/"


def tenant_folder(tenant_id: object, *, max_characters: int = MAX_KEY_BYTES) -> str:
    """Return the prefix in the shared bucket that only uploads of this tenant have.

    >>> tenant_folder(7), tenant_folder("a/b")
    ('tenants/7/', 'tenants/a%2Fb/')
    """
    return f"tenants/{_id_segment(str(tenant_id), min(MAX_KEY_BYTES, max_characters) // 4)}/"


def returned_key(
    slug: str, document_id: str, name: str, *, etag: str | None = None, max_characters: int = MAX_KEY_BYTES
) -> str:
    """Return the key `returned/{slug}/{document id}/{name}` in the shared bucket.

    A rollback copies documents there that cannot return to an old key. `slug` is the tenant's address. If a key cannot hold it
    unchanged, 8 hex characters of its digest are added, so that `Acme` and `acme` never share a key. With `etag`, the name begins
    with 8 hex characters of the ETag's digest, which gives another key if the first one is taken.

    >>> returned_key("Acme Corp.", "7f3a", "Q3 report?.pdf")
    'returned/acme-corp_2c074cd3/7f3a/Q3-report-.pdf'
    >>> returned_key("acme", "7f3a", "a.pdf", etag="0cc175b9c0f1b6a831c399e269772661")
    'returned/acme/7f3a/418dd73d-a.pdf'
    """
    limit = min(MAX_KEY_BYTES, max_characters)
    folder = f"returned/{_slug_segment(slug, limit // 8)}/{_id_segment(document_id, limit // 2)}/"
    if etag is not None:
        folder += hashlib.sha256(etag.encode()).hexdigest()[:SUFFIX_DIGITS] + "-"
    room = min(MAX_NAME_BYTES - SUFFIX_DIGITS - 1, limit - len(folder))
    return folder + sanitise(name, max_bytes=room)


def sanitise(name: str, *, max_bytes: int = MAX_NAME_BYTES) -> str:
    """Return a file name that is safe in keys, URLs, headers and file systems.

    It holds letters and digits of any script and `. - _`, in NFC. It is never empty, only dots, or a reserved Windows name. If it
    is cut to `max_bytes`, it keeps its extension.
    """
    if name.isascii():
        kept = _NOT_KEPT.sub("-", name)
    else:
        normal = unicodedata.normalize("NFC", name)
        kept = _HYPHENS.sub("-", "".join(char if _is_kept(char) else "-" for char in normal))
    kept = kept.strip(" .") or "file"
    if kept.split(".")[0].lower() in _WINDOWS_NAMES:
        kept = "_" + kept
    return cut_name(kept, max_bytes)


def cut_name(name: str, max_bytes: int) -> str:
    """Return a file name cut to `max_bytes` bytes of UTF-8; it keeps its extension."""
    if len(name.encode()) <= max_bytes:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 16:
        stem, dot, extension = name, "", ""
    room = max(max_bytes - len((dot + extension).encode()), 1)
    return (stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") or "f") + dot + extension


def key_problem(key: str) -> str | None:
    """Return why the key in a row cannot be a key of an S3 object, or None.

    >>> key_problem("s3://bucket/a.pdf")
    'it is a URL, not a key'
    """
    if not key:
        return "it is empty"
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        return "it is longer than 1,024 bytes"
    if "\0" in key or any("\ud800" <= char <= "\udfff" for char in key):
        return "it is not UTF-8"
    if key.startswith(("s3://", "http://", "https://")):
        return "it is a URL, not a key"
    if ".." in key and _leads_out(key):
        return "its dot segments lead out of the bucket"
    return None


def _leads_out(key: str) -> bool:
    depth = 0
    for segment in key.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(segment, 1)
        if depth < 0:
            return True
    return False


def _slug_segment(slug: str, longest: int) -> str:
    plain = dns_label(slug)
    if plain == slug and len(slug) <= longest:
        return slug
    digest = hashlib.sha256(slug.encode("utf-8", "surrogatepass")).hexdigest()[:SUFFIX_DIGITS]
    return f"{plain[: max(longest - SUFFIX_DIGITS - 1, 1)]}_{digest}"  # a plain label never has an underscore


def _id_segment(document_id: str, longest: int) -> str:
    encoded = quote(document_id, safe="", errors="surrogatepass")
    if not document_id.strip("."):
        encoded = document_id.replace(".", "%2E") or "%"
    if len(encoded) <= longest:
        return encoded
    return "sha256=" + hashlib.sha256(document_id.encode("utf-8", "surrogatepass")).hexdigest()


def _is_kept(char: str) -> bool:
    return char in "._-" or unicodedata.category(char)[0] in "LN" or unicodedata.category(char) in {"Mn", "Mc"}
