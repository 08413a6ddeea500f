"""Each client is a row, the goals compare rehouse with boto3, and the server answers both as S3 does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench import object_server
from bench.benchmarks import objects
from bench.benchmarks.objects import BOTO3, LARGE_COLUMNS, REHOUSE, SMALL_COLUMNS, Work
from bench.nginx import missing
from bench.result import Options, Result
from bench.servers import environment


def made(url: float, put: float, rate: float) -> dict[str, list[Work]]:
    """Works of one client: microseconds a URL and a put, and MB a second of the large object."""
    return {
        "url": [Work(1000, 1.0, url / 1000, 0)],
        "put": [Work(1000, 1.0, put / 1000, 0)],
        "get": [Work(1000, 2.0, put / 1000, 0)],
        "up": [Work(10**9, 1000 / rate, 1.5, 50_000_000)],
        "down": [Work(10**9, 1000 / rate, 0.5, 60_000_000)],
    }


def of(**clients: dict[str, list[Work]]) -> objects.Made:
    return {(client, work): rounds for client, works in clients.items() for work, rounds in works.items()}


def test_each_client_is_a_row_and_the_goals_are_judged() -> None:
    found = of(rehouse=made(12, 300, 900), boto3=made(370, 1200, 800))
    small, large = Result("objects", "", SMALL_COLUMNS), Result("objects-large", "", LARGE_COLUMNS)
    objects.fill_small(small, [REHOUSE, BOTO3], found)
    objects.fill_large(large, [REHOUSE, BOTO3], found)
    assert [row[0] for row in small.rows + large.rows] == [REHOUSE, BOTO3] * 2
    assert large.rows[0][-1].startswith("60.0 ")
    assert [(goal.measured, goal.reached) for goal in small.goals[1:]] == [("1/4.0", True)] * 2
    assert [(goal.measured, goal.reached) for goal in large.goals] == [("1.12", True)] * 2
    slow = Result("objects", "", SMALL_COLUMNS)
    objects.fill_small(slow, [REHOUSE, BOTO3], of(rehouse=made(16, 500, 1), boto3=made(370, 1200, 1)))
    assert [goal.reached for goal in slow.goals] == [False] * 3


@pytest.mark.parametrize("client", [REHOUSE, BOTO3])
def test_the_clients_of_the_project_do_their_work(client: str) -> None:
    if lacking := missing():
        pytest.skip(lacking)
    with object_server.object_server(9_000_000) as url:
        for works, count in ((["url", "put", "get"], 2), (["up", "down"], 9_000_000)):
            command = [sys.executable, "-m", "bench.clients.objects", client, *works, "--count", str(count)]
            ran = subprocess.run(command, env=environment(url), capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
            assert ran.stdout.count("cpu_seconds") == len(works)


def test_without_a_server_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "missing", lambda: "nginx is not installed")
    (result,) = objects.run(Options(quick=True, rounds=1))
    assert result.notes == ["skipped: nginx is not installed"]
