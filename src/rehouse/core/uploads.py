"""Decide what an upload may declare, its keys and parts, when its grant expires, and whether it arrived.

Pure functions. An upload goes to a key below `temp/` that contains its grant, and is copied to its own key when it is confirmed.
Sizes are in bytes. The limits of S3 are those of "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rehouse.core.errors import BadUpload
from rehouse.core.escaping import escape_to_one_line
from rehouse.core.model import TenantId
from rehouse.core.naming import MAX_KEY_BYTES, sanitise, target_key, tenant_folder


class GrantState(StrEnum):
    """The state of an upload's grant: in this order, but an open or confirming one may become aborted instead."""

    OPEN = "open"
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    ABORTED = "aborted"


MIB = 1024**2
GIB = 1024**3
MOST_PARTS = 10_000
LEAST_PART_BYTES = 5 * MIB
MOST_SINGLE_BYTES = 5 * GIB
MOST_BYTES = MOST_PARTS * MOST_SINGLE_BYTES
"""S3's 50 TB: 10,000 parts of 5 GiB, 48.8 TiB."""
MOST_NAME_CHARACTERS = 1024
MOST_TYPE_CHARACTERS = 255
"""The length of the guide's column for it."""
UNKNOWN_TYPE = "application/octet-stream"
"""What a browser's empty type becomes."""
CONFIRM_SECONDS = 6 * 3600
"""How long before the lifecycle rule can remove its object a grant expires: the time to confirm, and clocks that differ."""
MOST_GRANT_SECONDS = 24 * 3600 - CONFIRM_SECONDS
"""The longest grant under the shortest lifecycle rule, one day."""

_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+*-]+"
    r"(?: *; *[A-Za-z0-9!#$&^_.+-]+=(?:[A-Za-z0-9!#$&^_.+:*'-]+|\"[ !#-\[\]-~]*\"))*"
)
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the text after them, so that `report\u202efdp.exe` reads like a PDF."""
_BREAKS = frozenset({"Cc", "Zl", "Zp"})


class ChecksumAlgorithm(StrEnum):
    """A checksum that S3 computes for a whole object."""

    CRC32 = "crc32"
    CRC32C = "crc32c"
    CRC64NVME = "crc64nvme"
    SHA1 = "sha1"
    SHA256 = "sha256"


CHECKSUM_BYTES = {
    ChecksumAlgorithm.CRC32: 4,
    ChecksumAlgorithm.CRC32C: 4,
    ChecksumAlgorithm.CRC64NVME: 8,
    ChecksumAlgorithm.SHA1: 20,
    ChecksumAlgorithm.SHA256: 32,
}


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum of a whole object; `value` in base64."""

    algorithm: ChecksumAlgorithm
    value: str

    @property
    def header(self) -> str:
        """The name of S3's header for it."""
        return f"x-amz-checksum-{self.algorithm}"


@dataclass(frozen=True, slots=True)
class Declared:
    """What a client declared of its upload. `name` is the file's name as people see it."""

    name: str
    size: int
    content_type: str
    checksum: Checksum | None = None


def declare(name: object, size: object, content_type: object = "", checksum: object = None) -> Declared:
    """Return what a client declares, checked. `checksum` is None, a Checksum, or a pair of algorithm and base64.

    Raises BadUpload.
    """
    if checksum is not None and not isinstance(checksum, Checksum):
        if not isinstance(checksum, (tuple, list)) or len(checksum) != 2:
            raise BadUpload("the checksum is no pair of algorithm and value", hint='such as ("sha256", "47DEQp…=")')
        checksum = check_checksum(*checksum)
    return Declared(check_name(name), check_size(size), check_content_type(content_type), checksum)


def check_name(name: object) -> str:
    """Return a file's name as it is kept; the key has it sanitised (naming.sanitise).

    | the name                               | result                               |
    |----------------------------------------|--------------------------------------|
    | is no text                             | refused                              |
    | is empty or blank                      | refused                              |
    | has CR, LF or another control          | refused                              |
    | has a line or paragraph separator      | refused                              |
    | is not UTF-8                           | refused                              |
    | has more than 1,024 characters         | refused                              |
    | changes the direction of text (RTL)    | kept without these characters        |
    | leads to another folder                | kept, the key has hyphens            |
    | has more than 255 bytes                | kept, the key has it cut             |
    | is any other                           | kept                                 |

    Raises BadUpload.
    """
    if not isinstance(name, str):
        raise _bad_name(repr(name), "is no text")
    if len(name) > MOST_NAME_CHARACTERS:
        raise _bad_name(f"{name[:40]!r}...", f"has {len(name):,} characters, at most {MOST_NAME_CHARACTERS:,} are kept")
    if any("\ud800" <= char <= "\udfff" for char in name):
        raise _bad_name(ascii(name), "is not UTF-8")
    if any(unicodedata.category(char) in _BREAKS for char in name):
        raise _bad_name(escape_to_one_line(name), "has a control character or a line break")
    kept = "".join(char for char in name if char not in _DIRECTIONS)
    if not kept.strip():
        raise _bad_name(repr(name), "is blank")
    return kept


def _bad_name(shown: str, problem: str) -> BadUpload:
    return BadUpload(f"the file name {shown} {problem}", hint="send the name of the file alone, as the person sees it")


def check_size(size: object, *, most: int = MOST_BYTES) -> int:
    """Return the size of an upload.

    | the size                       | result  |
    |--------------------------------|---------|
    | is no whole number             | refused |
    | is negative                    | refused |
    | is 0                           | kept    |
    | is 5 GiB, in one request       | kept    |
    | is larger, in one request      | refused |
    | is 50 TB, in parts             | kept    |
    | is larger, in parts            | refused |

    `most`: MOST_SINGLE_BYTES for one request, MOST_BYTES for parts. Raises BadUpload.
    """
    if not isinstance(size, int) or isinstance(size, bool):
        raise BadUpload(f"the size {size!r} is no whole number", hint="send the size of the file in bytes")
    if size < 0:
        raise BadUpload(f"the size {size} is negative", hint="send the size of the file in bytes")
    if size > most:
        limit = f"{most:,} bytes in one request" if most == MOST_SINGLE_BYTES else f"{most:,} bytes"
        raise BadUpload(f"{size:,} bytes are too many: S3 takes {limit}", hint=_smaller(most))
    return size


def _smaller(most: int) -> str:
    return "upload it in parts" if most == MOST_SINGLE_BYTES else "split the file"


def check_content_type(content_type: object) -> str:
    """Return a content type that is safe in a header; `application/octet-stream` for none.

    Raises BadUpload.

    >>> check_content_type("text/plain; charset=utf-8"), check_content_type("")
    ('text/plain; charset=utf-8', 'application/octet-stream')
    """
    if content_type is None or content_type == "":
        return UNKNOWN_TYPE
    is_fine = isinstance(content_type, str) and len(content_type) <= MOST_TYPE_CHARACTERS
    if not is_fine or not _TYPE.fullmatch(str(content_type)):
        shown = escape_to_one_line(str(content_type)[:80])
        raise BadUpload(f"the content type {shown!r} is none", hint="write type/subtype, such as application/pdf")
    return str(content_type)


def check_checksum(algorithm: object, value: object) -> Checksum:
    """Return a checksum of a whole object. Raises BadUpload.

    >>> check_checksum("SHA256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=").header
    'x-amz-checksum-sha256'
    """
    known = ", ".join(ChecksumAlgorithm)
    try:
        found = ChecksumAlgorithm(str(algorithm).lower())
    except ValueError:
        shown = escape_to_one_line(str(algorithm)[:40])
        raise BadUpload(f"the checksum algorithm {shown!r} is unknown", hint=f"use one of {known}") from None
    length = CHECKSUM_BYTES[found]
    try:
        raw = base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != length or base64.b64encode(raw).decode() != value:
        shown = escape_to_one_line(str(value)[:80])
        raise BadUpload(f"{shown!r} is no {found} checksum", hint=f"send its {length} bytes in base64")
    return Checksum(found, str(value))


def staged_key(grant_id: str, name: str) -> str:
    """Return the key to which an upload goes before it is confirmed.

    >>> staged_key("4fd25e2a-1111-4222-8333-944444444444", "Q3 report?.pdf")
    'temp/4fd25e2a-1111-4222-8333-944444444444/Q3-report-.pdf'
    """
    return f"temp/{grant_id}/{sanitise(name)}"


def candidate_keys(
    tenant_id: TenantId,
    document_id: str,
    name: str,
    *,
    grant_id: str,
    is_shared: bool,
    max_characters: int | None = None,
) -> tuple[str, ...]:
    """Return the keys that a confirmed upload may get; the first that is free is taken, so nothing is ever overwritten.

    | bucket | key                                                               |
    |--------|-------------------------------------------------------------------|
    | home   | documents/{id}/{name}, as a migration names it                    |
    | shared | tenants/{tenant}/documents/{id}/{name}, as ids may be equal there |
    | either | the same folder, and 8 characters of the grant before the name    |

    `is_shared`: the bucket is a shared one. `max_characters`: the length of the column for keys. Different documents never get the
    same key, nor do documents of the same id of two tenants in the shared bucket.
    """
    longest = min(MAX_KEY_BYTES, max_characters or MAX_KEY_BYTES)
    folder = tenant_folder(tenant_id, max_characters=longest) if is_shared else ""
    formers = (None, grant_id, f"{grant_id}/2", f"{grant_id}/3")
    return tuple(
        folder + target_key(document_id, name, former=former, max_characters=longest - len(folder))
        for former in formers
    )


def part_bytes(size: int, preferred: int) -> int:
    """Return the size of every part of an upload but the last: whole MiB, `preferred` or as much as 10,000 parts need.

    | size       | preferred | bytes of a part |
    |------------|-----------|-----------------|
    | 1          | 8 MiB     | 8 MiB           |
    | 8 MiB      | 1 MiB     | 5 MiB           |
    | 80,000 MiB | 8 MiB     | 8 MiB           |
    | 80,001 MiB | 8 MiB     | 9 MiB           |
    | 50 TB      | 8 MiB     | 5,120 MiB       |
    """
    least = max(preferred, LEAST_PART_BYTES, -(-size // MOST_PARTS))
    return -(-least // MIB) * MIB


def part_sizes(size: int, bytes_of_part: int) -> list[int]:
    """Return the size of each part; an empty upload has one empty part.

    >>> part_sizes(11, 5), part_sizes(10, 5), part_sizes(0, 5)
    ([5, 5, 1], [5, 5], [0])
    """
    whole, rest = divmod(size, bytes_of_part)
    return [bytes_of_part] * whole + ([rest] if rest or not whole else [])


def part_problem(size: int, bytes_of_part: int, parts: Sequence[tuple[int, int]]) -> str | None:
    """Return what is wrong with the parts that S3 has, None if they make up the upload. `parts`: (number, size), in any order.

    | parts                    | problem        |
    |--------------------------|----------------|
    | all, in any order        | none           |
    | a number is missing      | which          |
    | a number is too many     | which          |
    | a size is another one    | which          |
    """
    wanted = dict(enumerate(part_sizes(size, bytes_of_part), start=1))
    found = dict(parts)
    missing = [number for number in wanted if number not in found]
    if missing:
        return f"part {missing[0]} of {len(wanted)} was not uploaded"
    extra = sorted(found.keys() - wanted.keys())
    if extra or len(parts) > len(found):
        return f"there is a part {extra[0]}, {len(wanted)} were granted" if extra else "a part is there twice"
    wrong = [number for number in wanted if found[number] != wanted[number]]
    return f"part {wrong[0]} has {found[wrong[0]]:,} bytes, {wanted[wrong[0]]:,} were granted" if wrong else None


def grant_seconds(seconds: int, *, temporary_days: int, incomplete_upload_days: int) -> int:
    """Return how long a grant lives: `seconds`, but it ends well before a lifecycle rule can remove its object.

    | rule: days of temp/ | rule: days of incomplete uploads | seconds | lives |
    |---------------------|----------------------------------|---------|-------|
    | 1                   | 7                                | 3600    | 3600  |
    | 1                   | 7                                | 86400   | 64800 |
    | 2                   | 7                                | 86400   | 86400 |
    | 9                   | 1                                | 86400   | 64800 |

    A rule of N days removes an object N days after its Last-Modified at the earliest (S3 rounds up to midnight UTC). That of a
    multipart object is the start of its upload, which comes after the grant. Six hours are left to confirm.
    """
    return min(seconds, min(temporary_days, incomplete_upload_days) * 86_400 - CONFIRM_SECONDS)


@dataclass(frozen=True, slots=True)
class Held:
    """What S3 holds of an upload. `checksums`: algorithm → base64, with `-N` at its end where it was made of N parts' checksums."""

    size: int
    content_type: str
    checksums: Mapping[str, str]


class Arrival(StrEnum):
    """Whether what S3 holds is what was declared. `READ`: only the bytes themselves can tell."""

    SAME = "same"
    READ = "read"
    OTHER_SIZE = "other_size"
    OTHER_TYPE = "other_type"
    OTHER_CHECKSUM = "other_checksum"


def judge_arrival(declared: Declared, held: Held) -> Arrival:
    """Return whether an upload arrived as it was declared.

    | size    | type    | declared checksum | S3's of that algorithm | arrival        |
    |---------|---------|-------------------|------------------------|----------------|
    | another | any     | any               | any                    | other_size     |
    | same    | another | any               | any                    | other_type     |
    | same    | same    | none              | any                    | same           |
    | same    | same    | some              | equal                  | same           |
    | same    | same    | some              | another                | other_checksum |
    | same    | same    | some              | none                   | read           |
    | same    | same    | some              | of parts               | read           |

    A server may keep a checksum that it did not compare with the bytes. Where that is known of it, pass no `checksums`.
    """
    if held.size != declared.size:
        return Arrival.OTHER_SIZE
    if _plain(held.content_type) != _plain(declared.content_type):
        return Arrival.OTHER_TYPE
    if declared.checksum is None:
        return Arrival.SAME
    found = held.checksums.get(declared.checksum.algorithm)
    if not found or "-" in found:
        return Arrival.READ
    return Arrival.SAME if found == declared.checksum.value else Arrival.OTHER_CHECKSUM


def _plain(content_type: str) -> str:
    """Return a content type for comparison: servers may change the case, and the blanks before a parameter."""
    return re.sub(r" *; *", ";", content_type.strip()).lower()


def describe_arrival(arrival: Arrival, declared: Declared, held: Held) -> str:
    """Return the sentence about an upload that is not what was declared."""
    match arrival:
        case Arrival.OTHER_SIZE:
            return f"S3 has {held.size:,} bytes, {declared.size:,} were declared"
        case Arrival.OTHER_TYPE:
            return f"S3 has the content type {escape_to_one_line(held.content_type)!r}, {declared.content_type!r} was declared"
        case _:
            return "its bytes have another checksum than the declared one"
