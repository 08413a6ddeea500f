"""A room of keys, names, slugs and rows that bite: its documents by kind, and what each of them is.

A key of 1,025 bytes is in a row alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any

from tests.support import independent_check
from tests.support.data_room import Room
from tests.support.envelope import result_of
from tests.support.s3_keys import KEYS as BITING
from tests.support.warm_process import Ended

from rehouse.sandbox.awkward_names import IDS
from rehouse.sandbox.awkward_names import KEYS as ODD_KEYS
from rehouse.sandbox.awkward_names import NAMES as ODD_NAMES

FIVE_MIB = 5 * 1024**2
IN_PARTS = {"REHOUSE_MULTIPART_THRESHOLD_BYTES": str(FIVE_MIB), "REHOUSE_MULTIPART_PART_BYTES": str(FIVE_MIB)}
BY_HAND = "control-\x01/b/../c"
"""No library below boto3 sends such a key as it is, and no XML carries it: `finish` leaves it and says so."""
KEYS = tuple(
    dict.fromkeys(
        (
            *BITING, *ODD_KEYS, *(f"control-{chr(code)}-{code}" for code in (*range(1, 32), *range(127, 160))),
            "line\nbreak", "carriage\rreturn", "both\r\n", "c\u0085next", "ls\u2028ps\u2029", "\ufeffmark",
            "non\ufffecharacter\uffff",
            "%", "%%", "%zz", "%00", "%0d%0a", "+", "+ +", "%2b+ ", " ", "   ", "a  b   c", "//", "///", "a//b//",
            "//a", "/", "/a", "\\",
            "..\\up", "a\\b\\..\\c", "k?versionId=null", "k?versionId=", "k", "k?", "?", "#", "&", "?acl",
            "?uploads", "?delete", "k?tagging",
            unicodedata.normalize("NFC", "é/ö.pdf"), unicodedata.normalize("NFD", "é/ö.pdf"), "dot.", "dots...",
                "a./b", ".", "a/..",
            "a/b/../../c", "a/./././b", "./a", "x/../", "a/.", "soap", "x" * 1024, "é" * 512, "😀" * 256, "d/" * 512, "%" * 1024,
            "<Key>&lt;</Key>", "]]>", "<!--", "'; DROP TABLE documents; --", "$(id)", "`id`", "${filename}",
            "{documents}", "%s%(a)s{}", "\u202egpj.exe",
            BY_HAND, "s3:/not-a-url", "S3://upper/case", "https:/one-slash", "null", "NULL", "None",
        )
    )
)  # fmt: skip
LARGE_KEYS = ("large + %2B.bin", "large/\r\n/x.bin", "large?versionId=null", "large/b/../../c \u202e.bin")
NAMES = (
    *ODD_NAMES, "", " ", ".", "..", "...", "\u202e\u202efdp.exe", "CON", "nul.txt", "LPT1.tar.gz", "com9", "AUX.", "aux .txt",
    "a\r\nSet-Cookie: x=1", "a\rb", "\t\x01\x7f", "x" * 255, "x" * 256, "é" * 500, "😀" * 500, "a" * 496 + ".pdf",
    "." * 500, "?" * 300,
    "a?b.pdf", "a*b.pdf", "a:b.pdf", "a<b.pdf", "/etc/passwd", "..\\..\\x", "~root", "-rf", "%2e%2e%2f", "a%00b",
    "＜full＞.pdf", "ﬁ.pdf", "e\u0301\u0301\u0301",
    "\u200b", "\u00a0", "x.\u0301", "name." + "e" * 300, "Straße.PDF", "İ.txt", "con.TXT", "COM¹.txt", "\ufffe", "file", "null",
)  # fmt: skip
SLUGS = (
    "Acme Corp.", "Ünï¢ode GmbH & Co. KG", "日本", "___", "-lead-trail-", "UPPER", "upper", "xn--tenant",
    "sthree-tenant", "10.0.0.1", "a..b",
    "x" * 255, "x" * 254 + "y", "long-" * 12 + "1", "long-" * 12 + "2", "emoji 🙈", "a/b", "../up", "what?x=1&y",
    "line\nbreak", "--help", "-x", " ",
    "'; DROP TABLE tenants; --", '"quoted"', "%s", unicodedata.normalize("NFC", "café"),
    unicodedata.normalize("NFD", "café"), "x-s3alias", "logs",
)  # fmt: skip
DRESSES: tuple[dict[str, Any], ...] = (
    {},
    {
        "ContentType": "application/pdf",
        "ContentDisposition": "attachment; filename=\"a b.pdf\"; filename*=UTF-8''%C3%BC%20%E2%82%AC%22.pdf",
        "CacheControl": "private, max-age=7",
        "ContentLanguage": "de",
        "Metadata": {"original-name": "%C3%BC%20%25.pdf", "rfc2047": "=?UTF-8?B?w7wg8J+Ygi5wZGY=?=", "empty": ""},
        "Tagging": "department=legal%20%26%20co&a%2Bb=c%2Bd&empty=",
    },
    {"ContentType": 'text/x-odd; charset="utf-8"', "Metadata": {"long": "x" * 1900}, "ContentEncoding": "identity"},
)
QUARANTINED = {
    "theirs": "other_tenants_object",
    "url": "invalid_key",
    "too-long": "invalid_key",
    "leads-out": "invalid_key",
    "url-bucket": "unknown_bucket",
    "elsewhere": "unknown_bucket",
    "lost": "missing_object",
    "deleted": "missing_object",
    "archived": "archived",
}
Contents = dict[str, Any]


class Hostile:
    """The room, its documents by kind, and what each of them is."""

    def __init__(self, room: Room) -> None:
        self.room, self.root = room, room.root
        self.kinds: dict[str, str] = {}
        self.contents: Contents = {}
        for change in (
            "ALTER s3_key TYPE text", "ALTER original_name DROP NOT NULL", "ALTER filename DROP NOT NULL",
            "ALTER size DROP NOT NULL",
        ):  # fmt: skip
            self.room.execute(f"ALTER TABLE documents {change}")
        self.second = f"second-{self.room.shared}"
        self.root.create_bucket(Bucket=self.second)
        self.root.put_bucket_versioning(Bucket=self.second, VersioningConfiguration={"Status": "Enabled"})

    def run(self, *arguments: str) -> Ended:
        shared = {"REHOUSE_SHARED_BUCKET": f"{self.room.shared},{self.second}"}
        return self.room.warm.run(*arguments, environment=self.room.environment() | IN_PARTS | shared)

    def pages(self) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing of the shared bucket."""
        yield from self.root.get_paginator("list_objects_v2").paginate(Bucket=self.room.shared)

    def remove(self) -> None:
        """Remove what the room could not: this server's lists of versions break on control characters."""
        for page in self.pages():
            for each in page.get("Contents", []):
                self.root.delete_object(Bucket=self.room.shared, Key=each["Key"])

    def tenant(self, slug: str) -> int:
        self.room.execute("INSERT INTO tenants (name, slug) VALUES (%s, %s)", slug, slug)
        return int(self.room.rows("SELECT id FROM tenants WHERE slug = %s", slug)[0][0])

    def row(
        self,
        tenant: int | None,
        document_id: str,
        key: str | None,
        *,
        bucket: str | None = "",
        name: str | None = "a.pdf",
    ) -> None:
        self.room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "VALUES (%s, %s, %s, 'f', %s, %s, 1, '2024-01-01')",
            document_id, tenant, name, self.room.shared if bucket == "" else bucket, key,
        )  # fmt: skip

    def document(
        self, kind: str, tenant: int, document_id: str, key: str, *, body: bytes | None = None, **more: Any
    ) -> None:
        """Lay out a document that is to move."""
        name = {"name": more.pop("name")} if "name" in more else {}
        dress = DRESSES[len(self.kinds) % len(DRESSES)]
        self.root.put_object(Bucket=self.room.shared, Key=key, Body=body or document_id.encode(), **dress)
        self.row(tenant, document_id, key, **name)
        self.kinds[document_id] = kind

    def pointers(self) -> dict[str, tuple[str, str]]:
        rows = self.room.rows("SELECT id, coalesce(s3_bucket, %s), s3_key FROM documents", self.room.shared)
        return {row[0]: (row[1], row[2]) for row in rows}

    def read(self) -> Contents:
        """Return everything that each document is, where its row points."""
        pointers = self.pointers()
        return {each: independent_check.read(self.root, *pointers[each])["content"] for each in self.kinds}

    def overwrite(self, every: int) -> list[str]:
        """Overwrite some documents at home, as the application may, and say so in their rows; return which."""
        pointers = self.pointers()
        overwritten = sorted(self.kinds)[::every]
        for document_id in overwritten:
            bucket, key = pointers[document_id]
            body = b"overwritten " + document_id.encode()
            etag = self.root.put_object(Bucket=bucket, Key=key, Body=body, **DRESSES[1])["ETag"]
            self.room.execute("UPDATE documents SET etag = %s, size = %s WHERE id = %s", etag, len(body), document_id)
        return overwritten

    def held(self, step: str, *, homes: bool) -> None:
        """Hold every document to its place and its content."""
        owners = dict(
            self.room.rows("SELECT d.id, t.aws_bucket_name FROM documents d JOIN tenants t ON t.id = d.tenant_id")
        )
        for document_id, (bucket, _) in self.pointers().items():
            if document_id in self.kinds:
                assert bucket == (owners[document_id] if homes else self.room.shared), f"{step}: {document_id}"
        now = self.read()
        assert {each: now[each] for each in now if now[each] != self.contents[each]} == {}, step

    def only_what_rows_lead_to_is_at_home(self) -> None:
        """Hold every home to the keys of the rows that lead into it: what must not be copied never was."""
        wanted: dict[str, set[str]] = {
            home: set()
            for (home,) in self.room.rows("SELECT aws_bucket_name FROM tenants WHERE aws_bucket_name IS NOT NULL")
        }
        for bucket, key in self.pointers().values():
            if bucket in wanted:
                wanted[bucket].add(key)
        assert {home: set(independent_check.objects_of(self.root, home)) for home in wanted} == wanted

    def errors(self) -> dict[str, str]:
        found = result_of(self.run("status", "--errors", "--output", "json").printed)["outstanding"]
        return {each["document_id"]: each["code"] for each in found}


def lay_out(made: Hostile) -> None:
    """Fill the room."""
    keys = made.tenant("keys")
    for number, key in enumerate(KEYS):
        made.document("keys", keys, f"key-{number}", key)
    for number, key in enumerate(LARGE_KEYS):
        made.document("keys, copied in parts", keys, f"large-{number}", key, body=b"%d" % number * (FIVE_MIB + 1))
    names = made.tenant("names")
    for number, name in enumerate(NAMES):
        made.document("file names", names, f"name-{number}", f"names/{number}", name=name)
    for number, document_id in enumerate((*IDS, "a/b", "../up", "a\nb", "%2F", " ", "é", "e\u0301", "📄")):
        made.document("document ids", names, document_id, f"ids/{number}")
    for number, slug in enumerate(SLUGS):
        made.document("slugs", made.tenant(slug), f"slug-{number}", f"slugs/{number}")
    crooked, victim = made.tenant("crooked"), made.tenant("victim")
    made.document("rows", crooked, "twin-1", "in/twin")
    made.document("rows", crooked, "nothing", "in/nothing", name=None)
    made.room.execute(
        "UPDATE documents SET s3_bucket = NULL, filename = NULL, size = NULL, file_size = NULL, uploaded_at = NULL "
        "WHERE id = 'nothing'"
    )
    made.row(crooked, "twin-2", "in/twin")
    made.kinds["twin-2"] = "rows"
    for key in ("in/theirs", "in/nobody", "in/orphan", "up"):
        made.root.put_object(Bucket=made.room.shared, Key=key, Body=key.encode())
    made.root.put_object(Bucket=made.second, Key="in/deleted", Body=b"deleted")
    made.root.delete_object(Bucket=made.second, Key="in/deleted")
    made.row(crooked, "deleted", "in/deleted", bucket=made.second)
    made.row(victim, "own", "in/theirs")
    made.row(None, "nobody", "in/nobody")
    for document_id, key in (
        ("theirs", "in/theirs"),
        ("url", f"s3://{made.room.shared}/in/nobody"), ("too-long", "k" * 1025), ("leads-out", "a/../../up"),
        ("lost", "in/lost"), ("no-key", None), ("empty-key", ""),
    ):  # fmt: skip
        made.row(crooked, document_id, key)
    made.root.put_object(Bucket=made.second, Key="in/archived", Body=b"old", StorageClass="GLACIER")
    made.row(crooked, "archived", "in/archived", bucket=made.second)
    made.row(crooked, "url-bucket", "in/nobody", bucket=f"s3://{made.room.shared}")
    made.row(crooked, "elsewhere", "in/nobody", bucket="somebody-elses-bucket")
