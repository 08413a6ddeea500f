"""An object read as a file gives what a file would, in few requests, and never a mixture of two objects."""

from __future__ import annotations

import io
import secrets
import shutil
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.http_relay import Reply

from rehouse.core.errors import NoSuchObject, PreconditionFailed
from rehouse.core.model import ObjectRef
from rehouse.s3.objects.reader import FIRST_AHEAD_BYTES, MOST_AHEAD_BYTES, SKIPPED_BYTES, TAIL_BYTES
from rehouse.s3.objects.traffic import count_traffic

KIB, MIB = 1024, 1024 * 1024
BODY = secrets.token_bytes(3 * MIB + 17)
STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, MIB)),
    st.tuples(st.just("readinto"), st.integers(0, 100 * KIB)),
    st.tuples(st.just("to"), st.integers(0, len(BODY) + 10)),
    st.tuples(st.just("by"), st.integers(-SKIPPED_BYTES, 2 * SKIPPED_BYTES)),
    st.tuples(st.just("from the end"), st.integers(-2 * TAIL_BYTES, 5)),
)


@pytest.fixture
def ref(bucket):
    return ObjectRef(bucket, "documents/1/a b.bin")


@pytest.fixture
def on_disk(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def stored(client, ref):
    client.put(ref, BODY, content_type="a/b")
    return ref


def step(file, kind, number):
    """What a step gives: the bytes or the position, or that the position is before the start."""
    try:
        if kind == "read":
            return file.read(number)
        if kind == "readinto":
            buffer = bytearray(number)
            return bytes(buffer[: file.readinto(buffer)])
        return file.seek(number, {"to": 0, "by": 1, "from the end": 2}[kind])
    except (ValueError, OSError):
        return "refused"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=12))
def test_it_reads_as_a_file_on_the_disk_does(client, bucket, on_disk, steps):
    ref = ObjectRef(bucket, "documents/1/a b.bin")
    if client.head(ref) is None:
        client.put(ref, BODY, content_type="a/b")
    with client.open(ref) as raw, io.BufferedReader(raw) as file, on_disk.open("rb") as expected:
        for kind, number in steps:
            assert step(file, kind, number) == step(expected, kind, number), (kind, number)
            assert file.tell() == expected.tell()


def copied(file):
    target = io.BytesIO()
    shutil.copyfileobj(file, target)
    return target.getvalue()


def buffered(file):
    around = io.BufferedReader(file)
    found = around.read()
    around.detach()  # else the file would be closed with it
    return found


WHOLE = {
    "read": lambda file: file.read(),
    "readall": lambda file: file.readall(),
    "copyfileobj": copied,
    "buffered": buffered,
    "small reads": lambda file: b"".join(iter(lambda: file.read(10_000), b"")),
    "after a seek to the start": lambda file: file.seek(0) or file.read(),
}


@pytest.mark.parametrize("way", WHOLE.values(), ids=WHOLE)
def test_a_whole_read_is_one_get(relayed, relay, ref, way):
    relayed.put(ref, BODY, content_type="a/b")
    relay.forget()
    with count_traffic() as traffic, relayed.open(ref) as file:
        assert way(file) == BODY
        assert file.read() == file.read(5) == b""
    assert [(seen.method, seen.headers.get("range")) for seen in relay.seen] == [("GET", None)]
    assert (traffic.requests, traffic.bytes_in) == (1, len(BODY))


def test_nothing_is_asked_before_the_first_read(client, ref):
    with count_traffic() as traffic, client.open(ref) as file:
        assert (file.readable(), file.seekable(), file.writable(), file.tell()) == (True, True, False, 0)
        assert file.seek(1000) == file.tell() == 1000
    assert traffic.requests == 0
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with client.open(ref) as file, pytest.raises(NoSuchObject):
        file.read()


def test_after_a_seek_it_reads_ahead_twice_as_far_each_time(relayed, relay, ref):
    put = relayed.put(ref, BODY, content_type="a/b")
    relay.forget()
    with relayed.open(ref) as file:
        file.seek(100)
        assert b"".join(iter(lambda: file.read(50_000), b"")) == BODY[100:]
    spans, start, ahead = [], 100, FIRST_AHEAD_BYTES
    while start < len(BODY):
        end = start + ahead if not spans else min(start + ahead, len(BODY))
        spans.append(f"bytes={start}-{end - 1}")
        start, ahead = end, min(2 * ahead, MOST_AHEAD_BYTES)
    assert [seen.headers["range"] for seen in relay.seen] == spans
    assert [seen.headers.get("if-match") for seen in relay.seen] == [None] + [f'"{put.etag}"'] * (len(spans) - 1)


def test_a_short_way_ahead_is_read_and_not_asked_for(client, stored):
    with count_traffic() as traffic, client.open(stored) as file:
        file.read(10)
        file.seek(1000)
        assert file.read(10) == BODY[1000:1010]
        file.seek(1000 + SKIPPED_BYTES)
        assert file.read(10) == BODY[1000 + SKIPPED_BYTES :][:10]
        assert traffic.requests == 1
        file.seek(0)
        assert file.read(10) == BODY[:10]
    assert traffic.requests == 2
    assert traffic.bytes_in < 3 * MIB, "the rest of the object was not fetched"


def test_the_size_is_learnt_with_the_last_bytes(client, stored):
    with count_traffic() as traffic, client.open(stored) as file:
        assert file.seek(0, 2) == len(BODY)
        file.seek(-100, 2)
        assert file.read() == BODY[-100:]
        assert file.object.size == len(BODY)
    assert (traffic.requests, traffic.bytes_in) == (1, TAIL_BYTES)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_small_and_empty_objects_are_read_like_others(client, ref, size):
    client.put(ref, BODY[:size], content_type="a/b")
    for begin in (lambda file: file.seek(0), lambda file: file.seek(0, 2), lambda file: file.seek(1000)):
        with client.open(ref) as file:
            begin(file)
            assert file.read() == BODY[:size][file.tell() :] or file.tell() == size
            assert file.read() == b""
            assert file.seek(0, 2) == size


def test_a_text_is_read_by_lines(client, ref):
    lines = [f"line {number} ü\n" for number in range(50_000)]
    client.put(ref, "".join(lines).encode(), content_type="text/plain")
    with count_traffic() as traffic, client.open(ref) as file:
        assert list(io.TextIOWrapper(io.BufferedReader(file), "utf-8")) == lines
    assert traffic.requests == 1


def test_one_member_of_a_zip_costs_little(client, ref):
    packed = io.BytesIO()
    contents = {f"{number}.bin": secrets.token_bytes(200_000) for number in range(40)}
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    client.put(ref, packed.getbuffer(), content_type="application/zip")
    with count_traffic() as traffic, client.open(ref) as file, zipfile.ZipFile(file) as archive:
        assert archive.read("17.bin") == contents["17.bin"]
        assert traffic.requests == 2
        assert traffic.bytes_in < MIB
        assert archive.testzip() is None
    assert traffic.requests < 15


def test_an_object_replaced_between_two_reads_is_noticed(client, stored):
    with client.open(stored) as file:
        file.seek(MIB)
        assert file.read(10) == BODY[MIB : MIB + 10]
        client.put(stored, BODY[::-1], content_type="a/b", only_new=False)
        file.seek(0)
        with pytest.raises(PreconditionFailed):
            file.read(10)


def test_a_lost_connection_is_not_noticed(relayed, relay, ref):
    relayed.put(ref, BODY, content_type="a/b")
    left = [100_000, 1_000_000]

    def after(request, reply):
        if request.method != "GET" or not left:
            return reply
        return Reply(reply.status, reply.body[: left.pop(0)], reply.headers, announced=len(reply.body))

    relay.after = after
    with relayed.open(ref) as file:
        assert file.read() == BODY
    assert left == []


def test_two_readers_take_turns(client, bucket):
    bodies = [secrets.token_bytes(4 * MIB) for _ in range(2)]
    for number, body in enumerate(bodies):
        client.put(ObjectRef(bucket, str(number)), body, content_type="a/b")
    files = [client.open(ObjectRef(bucket, str(number))) for number in range(2)]
    found = [b"", b""]
    while any(parts := [file.read(300_000) for file in files]):
        found = [before + part for before, part in zip(found, parts, strict=True)]
    assert found == bodies
