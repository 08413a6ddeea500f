"""Thousands of generated keys, names, headers, listings and slugs, through the real servers or through another library's XML.

The examples are Hypothesis's, generated from a seed that is printed; the room that they fill is migrated and sent back, and
every document is read where its row points.
"""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.support import independent_check
from tests.support.data_room import Room

from rehouse.core.model import ListedObject
from rehouse.core.naming import MAX_BUCKET_NAME, bucket_name
from rehouse.s3.bulk.listing import parse

SEED = 20261123
Any_ = TypeVar("Any_")
BITING = st.sampled_from(["/", "//", ".", "..", "/../", "/./", "%", "%2F", "%25", "+", " ", "  ", "?", "#", "&", "=",
"\\", "\n", "\r", "\t", "\x01", "\x7f",
                          "\x85", "\u202e", "é", "e\u0301", "😀", "<", "&lt;", "'", '"', "?versionId=", "ﬁ",
                          "\ufffe"])  # fmt: skip
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TEXT = st.lists(BITING | ANY_TEXT, min_size=1, max_size=8).map("".join)
LONG = st.builds(lambda text, times: text * times, TEXT, st.integers(1, 400)).map(
    lambda text: text.encode()[:1024].decode("utf-8", "ignore")
)


def leads_out(key: str) -> bool:
    """Whether the dot segments of a key go above the bucket, which S3 refuses."""
    depth = [0]
    for segment in key.split("/"):
        depth.append(depth[-1] + {"..": -1, ".": 0, "": 0}.get(segment, 1))
    return min(depth) < 0


KEYS = (TEXT | LONG).filter(lambda key: 0 < len(key.encode()) <= 1024 and not leads_out(key))
NAMES = (TEXT | LONG).map(lambda name: name[:500])
HEADER = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
DRESSES = st.fixed_dictionaries(
    {},
    optional={
        "ContentType": st.sampled_from(["application/pdf", "text/x-odd; charset=utf-8"]) | HEADER,
        "CacheControl": HEADER,
        "ContentLanguage": HEADER,
        "ContentDisposition": (TEXT | HEADER).map(lambda name: f"attachment; filename*=UTF-8''{quote(name[:200], safe='')}"),
        "Metadata": st.dictionaries(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
        HEADER | TEXT.map(lambda text: quote(text[:80])), max_size=5),
        "Tagging": st.dictionaries(st.from_regex(r"[A-Za-z0-9 +=._:/@-]{1,40}", fullmatch=True),
        st.from_regex(r"[A-Za-z0-9 +=._:/@-]{0,60}", fullmatch=True), max_size=5).map(
            lambda tags: "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in tags.items())
        ),
    },
)  # fmt: skip


def generated(strategy: st.SearchStrategy[Any_], count: int) -> list[Any_]:
    """Return so many examples of a strategy, made from SEED."""
    found: list[Any_] = []
    everything = [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ]

    @seed(SEED)
    @settings(
        max_examples=count, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=everything
    )
    @given(strategy)
    def collect(example: Any_) -> None:
        found.append(example)

    collect()
    return found


def lay_out(room: Room, documents: dict[str, tuple[str, str]], dresses: list[dict[str, Any]]) -> None:
    """Fill the room with documents: id → key and name."""
    root = room.server.root()
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'A', 'a')")
    room.execute("ALTER TABLE documents ALTER s3_key TYPE text")

    def put(number: int, document_id: str) -> None:
        dress = dresses[number % len(dresses)]
        root.put_object(Bucket=room.shared, Key=documents[document_id][0], Body=document_id.encode(), **dress)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, *zip(*enumerate(documents), strict=True)))
    for document_id, (key, name) in documents.items():
        room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "VALUES (%s, 1, %s, 'f', %s, %s, 1, '2024-01-01')",
            document_id, name, room.shared, key,
        )  # fmt: skip


def read(room: Room) -> dict[str, tuple[str, Any]]:
    """Return each document as it is where its row points: the bucket, and everything that the object is."""
    root, pointers = room.server.root(), room.pointers()
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda each: independent_check.read(root, *pointers[each])["content"], pointers)
        return {each: (pointers[each][0], content) for each, content in zip(pointers, found, strict=True)}


@pytest.mark.parametrize("count", [120, pytest.param(5000, marks=pytest.mark.long)])
def test_generated_keys_and_names_go_home_and_back(count: int, new_room: Callable[..., Room], figure) -> None:
    print(f"seed {SEED}")
    keys = list(dict.fromkeys(generated(KEYS, count + count // 5)))[:count]
    assert len(keys) == count
    names, dresses = generated(NAMES, count), generated(DRESSES, min(count, 500))
    documents = {str(uuid.UUID(int=number)): (key, names[number % len(names)]) for number, key in enumerate(keys)}
    room = new_room()
    run = lambda *words: room.warm.run(*words, environment=room.environment())  # noqa: E731
    try:
        lay_out(room, documents, dresses)
        before = {each: content for each, (_, content) in read(room).items()}
        for words, bucket in (
            (("migrate", "a"), None),
            (("rollback", "a"), room.shared),
            (("migrate", "a"), None),
        ):
            ended = run(*words)
            assert ended.status == 0, ended
            now = read(room)
            assert {where for where, _ in now.values()} == {bucket or room.current_home()}
            wrong = {
                documents[each]: (content, before[each])
                for each, (_, content) in now.items()
                if content != before[each]
            }
            assert wrong == {}, f"seed {SEED}, after {words[0]}"
            assert len({key for _, key in room.pointers().values()}) == count
        ended = run("verify", "a", "--deep")
        assert ended.status == 0, ended
    finally:
        empty(room)
    figure("generated keys", **{"keys": count, "sent home, back and home again": len(before), "seed": str(SEED)})


def empty(room: Room) -> None:
    """Empty the shared bucket: this server's lists of versions break on control characters."""
    root = room.server.root()
    pages = root.get_paginator("list_objects_v2").paginate(Bucket=room.shared)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: root.delete_object(Bucket=room.shared, Key=key), keys))


ETAGS = st.from_regex(r"[0-9a-f]{32}(-[0-9]{1,5})?", fullmatch=True)
MOMENTS = st.datetimes(datetime(2006, 1, 1), datetime(2100, 1, 1)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
CLASSES = st.sampled_from(["STANDARD", "GLACIER", "STANDARD_IA", "FSX_OPENZFS"])
LISTED = st.dictionaries(KEYS, st.tuples(ETAGS, st.integers(0, 50 * 1024**4), CLASSES, MOMENTS), max_size=20)


def written(objects: dict[str, tuple[str, int, str, datetime]], *, namespace: str, token: str, more: bool) -> bytes:
    """Return the listing as XML, written by the standard library."""
    root = ElementTree.Element("ListBucketResult", {"xmlns": namespace} if namespace else {})
    about = {
        "Name": "bucket",
        "EncodingType": "url",
        "KeyCount": str(len(objects)),
        "IsTruncated": str(bool(token)).lower(),
    }
    for name, text in about.items() | ({"NextContinuationToken": token} if token else {}).items():
        ElementTree.SubElement(root, name).text = text
    for key in sorted(objects, key=str.encode):
        etag, size, storage_class, modified = objects[key]
        entry = ElementTree.SubElement(root, "Contents")
        fields = {"Key": quote(key, safe="/"), "LastModified": modified.isoformat(timespec="milliseconds")}
        fields |= {"ETag": f'"{etag}"', "Size": str(size), "StorageClass": storage_class}
        if more:
            fields |= {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
        for name, text in fields.items():
            ElementTree.SubElement(entry, name).text = text
        if more:
            owner = ElementTree.SubElement(entry, "Owner")
            ElementTree.SubElement(owner, "ID").text = key.encode().hex()
            ElementTree.SubElement(owner, "Size").text = "not the object's"
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=more)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    objects=LISTED,
    namespace=st.sampled_from(["", "http://s3.amazonaws.com/doc/2006-03-01/"]),
    token=st.just("") | st.text("abcXYZ019+/=", min_size=1),
    more=st.booleans(),
)
def test_generated_listings_are_read_as_they_were_written(objects, namespace, token, more) -> None:
    page = parse(written(objects, namespace=namespace, token=token, more=more))
    # A HEAD shows whole seconds, so a listing's times are cut to them.
    wanted = [
        ListedObject(key, etag, size, storage_class, modified.replace(microsecond=0))
        for key, (etag, size, storage_class, modified) in sorted(objects.items(), key=lambda item: item[0].encode())
    ]
    assert page.objects == wanted
    assert page.token == (token or None)


PREFIXES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True).filter(
    lambda text: not text.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
)
FORBIDDEN_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


@settings(max_examples=400, deadline=None)
@given(
    prefix=PREFIXES,
    slugs=st.lists(TEXT | LONG, min_size=2, max_size=4),
    suffixes=st.lists(st.from_regex(r"[0-9a-f]{8}", fullmatch=True), min_size=4, max_size=4, unique=True),
    account=st.none() | st.from_regex(r"[0-9]{12}", fullmatch=True),
)
def test_generated_slugs_give_valid_and_distinct_buckets(prefix, slugs, suffixes, account) -> None:
    namespace = f"-{account}-us-east-1-an" if account else ""
    names = [
        bucket_name(prefix[:20] if account else prefix, slug, suffix, namespace=namespace)
        for slug, suffix in zip(slugs, suffixes, strict=False)
    ]
    assert len(set(names)) == len(slugs)
    for name in names:
        assert 3 <= len(name) <= MAX_BUCKET_NAME
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*[a-z0-9]", name), name
        assert not name.endswith(FORBIDDEN_ENDS)
        assert account or not name.endswith("-an")
