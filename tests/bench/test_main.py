"""One benchmark alone changes its own table: the others stay as they were measured, and so does the page's header."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as main
from bench import tables
from bench.result import Result


def fake(name: str) -> Result:
    result = Result(name, f"Title of {name}", ["client"], 1)
    result.add("rehouse")
    return result


def test_one_benchmark_alone_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"copy": "copy-0ms", "tls": "copy-tls"}
    monkeypatch.setattr(main, "BENCHMARKS", {name: lambda _, r=result: [fake(r)] for name, result in names.items()})
    monkeypatch.setattr(main, "RESULTS", tmp_path)
    monkeypatch.setattr(main, "LATEST", tmp_path / "latest.json")
    monkeypatch.setattr(main, "TOOLS", tmp_path)
    monkeypatch.setattr(tables, "write_page", lambda found: None)
    monkeypatch.setattr("sys.argv", ["bench", "--rounds", "5"])
    main.main()
    monkeypatch.setattr("sys.argv", ["bench", "--rounds", "1", "--only", "tls"])
    main.main()
    found = json.loads((tmp_path / "latest.json").read_text())
    assert found["rounds"] == 5
    assert list(found["results"]) == ["copy-0ms", "copy-tls"]
