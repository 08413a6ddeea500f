"""The ways over TLS are compared with plain HTTP; without a server it is skipped."""

from __future__ import annotations

import pytest

from bench.benchmarks import tls_copy
from bench.benchmarks.plain_copy import Measured
from bench.benchmarks.tls_copy import HOST_A_TENANT, ONE_HOST, PLAIN, Copied
from bench.measuring import Cost
from bench.result import Options, Result


def copied(cpu_seconds: float, connections: int) -> list[Copied]:
    alone = Cost(1.0, 1.0, 0, "")
    return [Copied(Measured(Cost(cpu_seconds, 10.0, 0, ""), 100_001, 100_001, alone), connections)]


def test_each_way_is_a_row_with_its_connections_and_its_ratio() -> None:
    result = Result("copy-tls", "", tls_copy.COLUMNS)
    made = {PLAIN: copied(4.0, 64), ONE_HOST: copied(5.0, 64), HOST_A_TENANT: copied(10.0, 6_400)}
    tls_copy._rows(result, made, 100_001)
    rows = {row[0]: dict(zip(tls_copy.COLUMNS[1:], row[1:], strict=True)) for row in result.rows}
    assert [row["hosts"] for row in rows.values()] == ["1", "1", "100"]
    assert [row["× plain HTTP"] for row in rows.values()] == ["1.0", "1.2", "2.5"]
    assert rows[HOST_A_TENANT]["connections"].startswith("6,400 ")


def test_without_a_server_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_copy, "missing", lambda: "nginx is not installed")
    (result,) = tls_copy.run(Options(quick=True, rounds=1))
    assert result.notes == ["skipped: nginx is not installed"]
    assert result.rows == []
