"""Keys, names, slugs and rows that bite: all in one world, sent home, overwritten, sent back, sent home again and finished.

After each step every document is read where its row points and held to bytes, headers, metadata and tags. What must not be
copied stays where it is, with its reason. The local server knows no object under a customer's key: a relay answers for it as S3
does. A key of 1,025 bytes is in a row alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from tests.acceptance import independent
from tests.reliability.http_relay import Reply, Request
from tests.reliability.place import Place
from tests.reliability.warm import Ended
from tests.s3.keys import KEYS as BITING
from tests.s3.stub import error

from rehouse.sandbox.oddities import IDS
from rehouse.sandbox.oddities import KEYS as ODD_KEYS
from rehouse.sandbox.oddities import NAMES as ODD_NAMES

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
WAYS = ("sent home", "sent back", "sent home again", "finished")
Contents = dict[str, Any]


class Hostile:
    """The world, its documents by kind, and what each of them is."""

    def __init__(self, place: Place) -> None:
        self.place, self.world, self.root = place, place.world, place.world.server.root()
        self.kinds: dict[str, str] = {}
        self.contents: Contents = {}
        for change in (
            "ALTER s3_key TYPE text", "ALTER original_name DROP NOT NULL", "ALTER filename DROP NOT NULL",
            "ALTER size DROP NOT NULL",
        ):  # fmt: skip
            self.world.execute(f"ALTER TABLE documents {change}")
        self.second = f"second-{self.world.shared}"
        self.root.create_bucket(Bucket=self.second)
        self.root.put_bucket_versioning(Bucket=self.second, VersioningConfiguration={"Status": "Enabled"})

    def run(self, *arguments: str) -> Ended:
        shared = {"REHOUSE_SHARED_BUCKET": f"{self.world.shared},{self.second}"}
        return self.place.warm.run(*arguments, environment=self.world.environment() | IN_PARTS | shared)

    def pages(self) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing of the shared bucket."""
        yield from self.root.get_paginator("list_objects_v2").paginate(Bucket=self.world.shared)

    def remove(self) -> None:
        """Remove what the place could not: this server's lists of versions break on control characters."""
        for page in self.pages():
            for each in page.get("Contents", []):
                self.root.delete_object(Bucket=self.world.shared, Key=each["Key"])

    def tenant(self, slug: str) -> int:
        self.world.execute("INSERT INTO tenants (name, slug) VALUES (%s, %s)", slug, slug)
        return int(self.world.rows("SELECT id FROM tenants WHERE slug = %s", slug)[0][0])

    def row(
        self,
        tenant: int | None,
        document_id: str,
        key: str | None,
        *,
        bucket: str | None = "",
        name: str | None = "a.pdf",
    ) -> None:
        self.world.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "VALUES (%s, %s, %s, 'f', %s, %s, 1, '2024-01-01')",
            document_id, tenant, name, self.world.shared if bucket == "" else bucket, key,
        )  # fmt: skip

    def document(
        self, kind: str, tenant: int, document_id: str, key: str, *, body: bytes | None = None, **more: Any
    ) -> None:
        """Lay out a document that is to move."""
        name = {"name": more.pop("name")} if "name" in more else {}
        dress = DRESSES[len(self.kinds) % len(DRESSES)]
        self.root.put_object(Bucket=self.world.shared, Key=key, Body=body or document_id.encode(), **dress)
        self.row(tenant, document_id, key, **name)
        self.kinds[document_id] = kind

    def pointers(self) -> dict[str, tuple[str, str]]:
        rows = self.world.rows("SELECT id, coalesce(s3_bucket, %s), s3_key FROM documents", self.world.shared)
        return {row[0]: (row[1], row[2]) for row in rows}

    def read(self) -> Contents:
        """Return everything that each document is, where its row points."""
        pointers = self.pointers()
        return {each: independent.read(self.root, *pointers[each])["content"] for each in self.kinds}

    def overwrite(self, every: int) -> list[str]:
        """Overwrite some documents at home, as the application may, and say so in their rows; return which."""
        pointers = self.pointers()
        overwritten = sorted(self.kinds)[::every]
        for document_id in overwritten:
            bucket, key = pointers[document_id]
            body = b"overwritten " + document_id.encode()
            etag = self.root.put_object(Bucket=bucket, Key=key, Body=body, **DRESSES[1])["ETag"]
            self.world.execute("UPDATE documents SET etag = %s, size = %s WHERE id = %s", etag, len(body), document_id)
        return overwritten

    def held(self, step: str, *, homes: bool) -> None:
        """Hold every document to its place and its content."""
        owners = dict(
            self.world.rows("SELECT d.id, t.aws_bucket_name FROM documents d JOIN tenants t ON t.id = d.tenant_id")
        )
        for document_id, (bucket, _) in self.pointers().items():
            if document_id in self.kinds:
                assert bucket == (owners[document_id] if homes else self.world.shared), f"{step}: {document_id}"
        now = self.read()
        assert {each: now[each] for each in now if now[each] != self.contents[each]} == {}, step

    def errors(self) -> dict[str, str]:
        found = json.loads(self.run("status", "--errors", "--output", "json").printed)["errors"]
        return {each["document_id"]: each["code"] for each in found}


def lay_out(made: Hostile) -> None:
    """Fill the world."""
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
    made.world.execute(
        "UPDATE documents SET s3_bucket = NULL, filename = NULL, size = NULL, file_size = NULL, uploaded_at = NULL "
        "WHERE id = 'nothing'"
    )
    made.row(crooked, "twin-2", "in/twin")
    made.kinds["twin-2"] = "rows"
    for key in ("in/theirs", "in/nobody", "in/orphan", "up"):
        made.root.put_object(Bucket=made.world.shared, Key=key, Body=key.encode())
    made.root.put_object(Bucket=made.second, Key="in/deleted", Body=b"deleted")
    made.root.delete_object(Bucket=made.second, Key="in/deleted")
    made.row(crooked, "deleted", "in/deleted", bucket=made.second)
    made.row(victim, "own", "in/theirs")
    made.row(None, "nobody", "in/nobody")
    for document_id, key in (
        ("theirs", "in/theirs"),
        ("url", f"s3://{made.world.shared}/in/nobody"), ("too-long", "k" * 1025), ("leads-out", "a/../../up"),
        ("lost", "in/lost"), ("no-key", None), ("empty-key", ""),
    ):  # fmt: skip
        made.row(crooked, document_id, key)
    made.root.put_object(Bucket=made.second, Key="in/archived", Body=b"old", StorageClass="GLACIER")
    made.row(crooked, "archived", "in/archived", bucket=made.second)
    made.row(crooked, "url-bucket", "in/nobody", bucket=f"s3://{made.world.shared}")
    made.row(crooked, "elsewhere", "in/nobody", bucket="somebody-elses-bucket")


@pytest.fixture
def made(new_place: Callable[..., Place]) -> Iterator[Hostile]:
    """The world, laid out."""
    hostile = Hostile(new_place())
    lay_out(hostile)
    yield hostile
    hostile.remove()


def test_all_that_bites_goes_home_and_back_and_home_again(made: Hostile, figure) -> None:
    made.contents = made.read()
    sources = made.pointers()
    stayed = {each: sources[each] for each in (*QUARANTINED, "own", "nobody", "no-key", "empty-key")}
    before = independent.objects_of(made.root, made.world.shared)

    ended = made.run("migrate-all")
    assert ended.status == 1, ended
    assert made.errors() == QUARANTINED | {"own": "other_tenants_object"}
    made.held("sent home", homes=True)
    assert independent.objects_of(made.root, made.world.shared) == before, "the shared bucket is only read"
    homes = [home for (home,) in made.world.rows("SELECT aws_bucket_name FROM tenants")]
    assert len(set(homes)) == len(SLUGS) + 4
    for slug in ("keys", "names"):
        looked = made.run("verify", slug, "--deep")
        assert looked.status == 0, looked

    overwritten = made.overwrite(3)
    home, key = made.pointers()["name-0"]
    made.row(1, "thief", key, bucket=home)
    made.contents = made.read()
    ended = made.run("rollback", "--all")
    assert ended.status == 0, ended
    made.held("sent back", homes=False)
    quarantined = QUARANTINED | {"own": "other_tenants_object", "thief": "unknown_bucket"}

    ended = made.run("migrate-all")
    assert ended.status == 1, ended
    assert made.errors() == quarantined
    made.held("sent home again", homes=True)

    ended = made.run("finish", "--all", "--after", "0", "--yes")
    made.held("finished", homes=True)
    assert {each: made.pointers()[each] for each in stayed} == stayed
    left = {each["Key"] for page in made.pages() for each in page.get("Contents", [])}
    forgotten = {sources[each][1] for each in overwritten} - {sources["twin-1"][1]}
    assert left - forgotten == {"in/theirs", "in/nobody", "in/orphan", "up", BY_HAND} - forgotten
    for kind in dict.fromkeys(made.kinds.values()):
        count = sum(each == kind for each in made.kinds.values())
        figure("hostile keys", **{"what": kind, "documents": count, **dict.fromkeys(WAYS, count)})
    figure("hostile keys", **{"what": "rows that must stay", "documents": len(stayed), **dict.fromkeys(WAYS, "stayed")})


ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m"


def test_what_a_row_says_does_not_drive_the_terminal(new_place: Callable[..., Place]) -> None:
    place = new_place()
    place.world.execute("INSERT INTO tenants (id, name, slug) VALUES (1, %s, 'a')", f"name {ESCAPES}")
    place.world.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
        "VALUES (%s, 1, %s, 'f', %s, %s, 1, '2024-01-01'), ('elsewhere', 1, 'x', 'f', %s, 'k', 1, '2024-01-01')",
        f"id {ESCAPES}", f"name {ESCAPES}", place.world.shared, f"key {ESCAPES}", f"bucket {ESCAPES}",
    )  # fmt: skip
    for command in (
        ("plan", "a"), ("migrate", "a"), ("status",), ("status", "a"), ("status", "a", "--errors"), ("verify", "a"),
        ("migrate", f"nobody {ESCAPES}"), ("accept", "a", f"nothing {ESCAPES}", "--reason", "x"), ("rollback", "a"), ("cleanup",),
    ):  # fmt: skip
        printed = place.command(*command).printed
        assert not set(printed) & {"\x1b", "\x07", "\x9b"}, f"{command}: {printed!r}"


def test_an_object_under_a_customers_key_stays_and_is_told(new_place: Callable[..., Place]) -> None:
    """S3 answers 400 to whoever reads such an object without the key; this server has no such objects."""
    place = new_place()
    place.world.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    for document_id in ("plain", "under-a-key"):
        place.upload(document_id, document_id.encode())
    sentence = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided"

    def refuse(request: Request) -> Reply | None:
        reads = "in/under-a-key" in unquote(request.head.decode("latin-1")) and request.operation in (
            "CopyObject",
            "HEAD object",
        )
        return Reply(400, b"" if request.method == "HEAD" else error("InvalidRequest", sentence)) if reads else None

    place.storage.before = refuse
    ended = place.relayed("migrate", "a")
    assert ended.status == 1, ended
    assert place.pointers()["under-a-key"] == (place.world.shared, "in/under-a-key")
    assert place.pointers()["plain"][0] == place.home
    told = place.command("status", "a", "--errors").printed
    assert "InvalidRequest" in told
    assert "under-a-key" in told
    assert place.unreadable() == []


def test_a_slug_that_looks_like_markup_is_shown_on_a_terminal_as_it_is(new_place: Callable[..., Place]) -> None:
    place = new_place()
    for number, slug in enumerate(("[/red]", "[bold]x", ESCAPES)):
        place.world.execute("INSERT INTO tenants (name, slug) VALUES (%s, %s)", slug, slug)
        place.world.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size) "
            "SELECT %s, id, 'x', 'f', %s, %s, 1 FROM tenants WHERE slug = %s",
            f"d{number}", place.world.shared, place.put(place.world.shared, f"k{number}", b"x") and f"k{number}", slug,
        )  # fmt: skip
    master, terminal = pty.openpty()
    arguments = [sys.executable, "-m", "rehouse", "migrate-all"]
    environment = place.world.environment() | {"TERM": "xterm-256color"}
    process = subprocess.Popen(arguments, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    drawn = b""
    with contextlib.suppress(OSError):  # so the end of a terminal is told
        while read := os.read(master, 65536):
            drawn += read
    os.close(master)
    printed = process.communicate()[0]
    assert process.returncode == 0, drawn + printed
    assert b"[/red]" in printed
    assert b"\x1b]0;" not in drawn + printed
