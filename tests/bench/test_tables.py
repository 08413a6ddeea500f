"""The page says of each table what was measured, and when, where it is not as the header says; nothing old passes for new."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import tables
from bench.result import Result

PAGE = "".join(f"<!-- bench:{name} -->\nan old table\n<!-- end -->\n" for name in ("machine", "goals", *tables.ORDER))
MACHINE = {
    "date": "2026-11-25",
    "processor": "a processor",
    "memory": "8 GiB",
    "system": "Linux",
    "python": "3.11",
    "rclone": "1.60",
}


def made(name: str, *, rounds: int = 5, commit: str = "abc", **facts: str) -> dict[str, Any]:
    result = Result(name, f"Title of {name}", ["client", "µs"], rounds)
    result.add("rehouse", "38")
    result.goal("cheap", "≤ 55", "38", reached=True)
    result.goal("dear", "≤ 1", "38", reached=False)
    result.goal("unknown", "≤ 1", None, reached=False)
    result.figures = {"micros": [38]}
    return {**result.as_object(), "measured": {"machine": MACHINE | facts, "commit": commit, "load": 0.1}}


def written(folder: Path, *results: dict[str, Any]) -> str:
    page = folder / "performance.md"
    page.write_text(PAGE)
    header = {"machine": MACHINE, "commit": "abc", "load": 0.2}
    found = {"quick": False, "rounds": 5, "measured": header, "results": {each["name"]: each for each in results}}
    tables.write_page(found, page)
    return page.read_text()


def block(text: str, name: str) -> str:
    return text.partition(f"<!-- bench:{name} -->\n")[2].partition("<!-- end -->")[0]


def test_a_table_is_put_in_place_and_names_what_is_missing(tmp_path: Path) -> None:
    text = written(tmp_path, made("verify"))
    assert "an old table" not in text
    assert "| rehouse | 38 |" in block(text, "verify")
    assert block(text, "million") == "Not measured.\n"
    assert "at commit abc: a processor" in block(text, "machine")


def test_goals_are_reached_missed_or_not_measured(tmp_path: Path) -> None:
    lines = block(written(tmp_path, made("verify")), "goals").splitlines()
    assert [[cell.strip() for cell in line.split("|")[3:5]] for line in lines[2:5]] == [
        ["38", "yes"],
        ["38", "**no**"],
        ["not measured", "–"],
    ]


def test_a_whole_migration_is_compared_with_plain_copies(tmp_path: Path) -> None:
    copies = made("copy-0ms") | {"figures": {"without_startup": {"s5cmd run": [500.0, 600.0, 700.0]}}}
    migrate = made("migrate") | {"figures": {"client_micros": {"together": [100.0], "interleaved": [200.0]}}}
    found = block(written(tmp_path, copies, migrate), "goals").splitlines()[-2:]
    assert [[cell.strip() for cell in line.split("|")[3:5]] for line in found] == [
        ["1/6.0", "yes"],
        ["1/3.0", "**no**"],
    ]
    missing = block(written(tmp_path, migrate), "goals").splitlines()[-2:]
    assert [line.split("|")[3].strip() for line in missing] == ["not measured"] * 2


def test_only_a_table_that_was_measured_otherwise_says_when(tmp_path: Path) -> None:
    other = made("limiter", rounds=1, commit="old", date="2026-11-23", rclone="1.61")
    text = written(tmp_path, made("verify"), other)
    assert "Measured on" not in block(text, "verify")
    assert "*Measured on 2026-11-23, 1 round, commit old, load 0.1, rclone 1.61.*" in block(text, "limiter")


def test_a_chart_stands_only_where_there_are_figures(tmp_path: Path) -> None:
    (tmp_path / tables.CHARTS["limiter"][0]).touch()
    assert "](performance-limiter.png)" in block(written(tmp_path, made("limiter")), "limiter")
    assert ".png" not in block(written(tmp_path, made("limiter") | {"figures": {}}), "limiter")


def test_the_charts_environment_needs_no_rehouse() -> None:
    code = "import sys, bench.tables; sys.exit('rehouse' in sys.modules)"
    root = Path(tables.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
