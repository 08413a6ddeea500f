"""A whole migration where S3's host is known to the proxy alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay, Reply, Request

from rehouse.core.lifecycle import Phase

THERE = "http://s3.internal.example:9000"


def test_a_run_reaches_s3_through_the_proxy_alone(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpRelay(room.server.port) as proxy:

        def forward(request: Request) -> Reply:
            return proxy.ask(replace(request, head=request.head.replace(f" {THERE}".encode(), b" ", 1)))

        proxy.before = forward
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1,localhost")
        room.documents("a", "b")
        report = room.migrate(endpoint_url=THERE)
        assert (report.this_run, report.phase) == (2, Phase.CUT_OVER)
        targets = [request.head.split(b" ", 2)[1].decode() for request in proxy.seen]
    assert all(target.startswith(f"{THERE}/") for target in targets)
    operations = {request.operation for request in proxy.seen}
    assert {"CopyObject", "ListObjectsV2", "PUT policy"} <= operations
