"""`python -m bench.clients.objects CLIENT WORK… --count N`: single objects, by one client in one thread of the caller.

`url`: presign a download with a file name. `put`, `get`: 4 KB, one after another. `up`, `down`: one large object through a file,
with whatever threads the client starts by itself. Where to and with which keys: the environment. Prints seconds and CPU seconds of
each work alone, after a warm-up, a line each. Each client is imported only where it is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any, NamedTuple

BUCKET = "bench-home"
SMALL, LARGE = "documents/small.bin", "documents/large.bin"
SMALL_BYTES = 4096
PART_BYTES = 8 * 1024 * 1024
PARTS_IN_FLIGHT = 2
WARM_UP = 20
NAME = "Übersicht 2026.pdf"
BODY = os.urandom(SMALL_BYTES)


class Works(NamedTuple):
    """What a client can do: each takes a number (of the object, or the bytes of the large one)."""

    url: Callable[[int], Any]
    put: Callable[[int], Any]
    get: Callable[[int], Any]
    up: Callable[[int], Any]
    down: Callable[[int], Any]


class Zeros:
    """A readable stream of `size` zero bytes; it seeks, as a file does."""

    def __init__(self, size: int) -> None:
        self._size, self._at = size, 0
        self._block = bytes(PART_BYTES)

    def read(self, most: int = -1) -> bytes:
        """Return the next bytes."""
        left = self._size - self._at
        count = left if most < 0 else min(most, left)
        self._at += count
        return self._block if count == PART_BYTES else bytes(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


def rehouse() -> Works:
    from rehouse import config  # noqa: PLC0415
    from rehouse.core.content_disposition import content_disposition  # noqa: PLC0415
    from rehouse.core.model import ObjectRef  # noqa: PLC0415
    from rehouse.s3.objects.answers import Part  # noqa: PLC0415
    from rehouse.s3.objects.client import ObjectClient  # noqa: PLC0415
    from rehouse.s3.session import Session  # noqa: PLC0415

    client = ObjectClient(Session(config.load()))
    small, large = ObjectRef(BUCKET, SMALL), ObjectRef(BUCKET, LARGE)

    def url(number: int) -> str:
        response = {"response-content-disposition": content_disposition(NAME)}
        return client.presigner.get_url(ObjectRef(BUCKET, f"documents/{number}/a.pdf"), expires=900, response=response)

    def get(_: int) -> bytes:
        with client.open(small) as file:
            return file.read()

    def up(size: int) -> None:
        stream, upload = Zeros(size), client.create_multipart(large, content_type="application/octet-stream")
        parts: list[Part] = []
        waiting: deque[tuple[int, int, Future[str]]] = deque()

        def take() -> None:
            number, count, future = waiting.popleft()
            parts.append(Part(number, future.result(), count))

        with ThreadPoolExecutor(PARTS_IN_FLIGHT) as pool:
            while piece := stream.read(PART_BYTES):
                number = len(parts) + len(waiting) + 1
                waiting.append((number, len(piece), pool.submit(client.upload_part, large, upload, number, piece)))
                if len(waiting) > PARTS_IN_FLIGHT:
                    take()
            while waiting:
                take()
        client.complete_multipart(large, upload, parts, only_new=False)

    def down(size: int) -> None:
        with client.open(large) as file, open(os.devnull, "wb") as sink:  # noqa: PTH123
            shutil.copyfileobj(file, sink, 1024 * 1024)
            assert file.tell() == size

    return Works(url, lambda _: client.put(small, BODY, content_type="a/b"), get, up, down)


def boto3() -> Works:
    import boto3 as package  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    client = package.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))

    def url(number: int) -> str:
        disposition = f"attachment; filename=\"Ubersicht 2026.pdf\"; filename*=UTF-8''%C3%9Cbersicht%20{number}.pdf"
        parameters = {
            "Bucket": BUCKET,
            "Key": f"documents/{number}/a.pdf",
            "ResponseContentDisposition": disposition,
        }
        return str(client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=900))

    def down(size: int) -> None:
        with open(os.devnull, "wb") as sink:  # noqa: PTH123
            client.download_fileobj(BUCKET, LARGE, sink)

    return Works(
        url,
        lambda _: client.put_object(Bucket=BUCKET, Key=SMALL, Body=BODY, ContentType="a/b", IfNoneMatch="*"),
        lambda _: client.get_object(Bucket=BUCKET, Key=SMALL)["Body"].read(),
        lambda size: client.upload_fileobj(Zeros(size), BUCKET, LARGE),
        down,
    )


def obstore() -> Works:
    import obstore as package  # noqa: PLC0415
    from obstore.store import S3Store  # noqa: PLC0415

    store = S3Store(
        BUCKET,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    def down(size: int) -> None:
        count = 0
        with open(os.devnull, "wb") as sink:  # noqa: PTH123
            for chunk in package.get(store, LARGE).stream():
                count += sink.write(chunk)
        assert count == size

    return Works(
        lambda number: package.sign(store, "GET", f"documents/{number}/a.pdf", timedelta(seconds=900)),
        lambda _: package.put(store, SMALL, BODY, mode="create", use_multipart=False),
        lambda _: bytes(package.get(store, SMALL).bytes()),
        lambda size: package.put(store, LARGE, Zeros(size), chunk_size=PART_BYTES, use_multipart=True),
        down,
    )


def opendal() -> Works:
    import asyncio  # noqa: PLC0415

    import opendal as package  # noqa: PLC0415

    place = {
        "bucket": BUCKET,
        "region": "us-east-1",
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
        "access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
        "secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    operator = package.Operator("s3", **place)
    loop = asyncio.new_event_loop()
    signer = package.AsyncOperator("s3", **place)

    async def sign(number: int) -> Any:
        return await signer.presign_read(f"documents/{number}/a.pdf", 900)

    def up(size: int) -> None:
        stream = Zeros(size)
        with operator.open(LARGE, "wb") as file:
            while piece := stream.read(PART_BYTES):
                file.write(piece)

    def down(size: int) -> None:
        count = 0
        with operator.open(LARGE, "rb") as file, open(os.devnull, "wb") as sink:  # noqa: PTH123
            while piece := file.read(1024 * 1024):
                count += sink.write(piece)
        assert count == size

    return Works(
        lambda number: loop.run_until_complete(sign(number)),
        lambda _: operator.write(SMALL, BODY),
        lambda _: operator.read(SMALL),
        up,
        down,
    )


CLIENTS = {"rehouse": rehouse, "boto3": boto3, "obstore": obstore, "opendal": opendal}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.clients.objects")
    parser.add_argument("client", choices=list(CLIENTS))
    parser.add_argument("works", choices=Works._fields, nargs="+")
    parser.add_argument("--count", type=int, required=True, help="operations; for up and down the object's bytes")
    options = parser.parse_args()
    made = CLIENTS[options.client]()
    for name in options.works:
        print(json.dumps(measure(getattr(made, name), options.count, is_large=name in {"up", "down"})), flush=True)
    os._exit(0)  # OpenDAL's threads abort the interpreter while it ends


def measure(work: Callable[[int], Any], count: int, *, is_large: bool) -> dict[str, float]:
    """Do the work, and return the seconds and CPU seconds that it took."""
    for number in range(0 if is_large else WARM_UP):
        work(number)
    began, cpu = time.monotonic(), time.process_time()
    for number in [count] if is_large else range(count):
        work(number)
    return {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}


if __name__ == "__main__":
    main()
