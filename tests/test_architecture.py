"""The shape of the code itself: short files, short functions, a rule on every module, calm names, no trace of one machine."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rehouse.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "rehouse").rglob("*.py"))
FORBIDDEN_IN_NAMES = ("manager", "handler", "helper", "util", "processor")
NAMES_OF_LIBRARIES = {"get_route_handler"}
"""Methods of a library's class that we override."""
OPERATION_OF = {"migrate-all": "migrate", "verify-all": "verify"}
"""A …-all command is the same operation with another selection."""
A_PARTICIPLE = re.compile(
    r"_?(?!(?:need|speed)(?:_|$))([a-z]+ed|kept|told|held|given|known|seen|gone|found|sent|lost|made|left|done|written|taken)"
    r"(_(apart|again|early|up|by|to|in|at))?"
)
CLI_ALONE = {"demo", "sandbox", "config", "help", "sweep", "serve"}
"""Commands without a verb of operations: the last two are of the application's storage, in runtime and web."""
TRACES = re.compile(
    r"(?<![\w/.:}])/(?:work|root|Users)/\w|index[-_]url|extra-index|" + re.escape("../" + "shared") + r"|simple/\s*$"
)
"""A path of somebody's machine, the host of a package index, a neighbouring folder."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list)


def definitions(body: list[ast.stmt]) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Public functions, classes and methods, with their names; what begins with an underscore is private."""
    for node in body:
        is_named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if is_named and not node.name.startswith("_") and not is_overload(node):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{name}", inner) for name, inner in definitions(node.body))


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 50
    assert len(tracked("*.py")) > 80


def test_no_file_is_long_and_most_are_short() -> None:
    lines = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 120


def test_no_function_is_long_and_most_are_short() -> None:
    lines = {f"{name_of(path)}:{node.name}": length(node) for path in SOURCES for node in functions(path)}
    assert {name: count for name, count in lines.items() if count > 60} == {}
    assert statistics.median(lines.values()) <= 10


def test_every_module_opens_with_its_rule() -> None:
    assert [name_of(path) for path in SOURCES if not ast.get_docstring(parsed(path))] == []


def test_every_public_name_has_a_docstring() -> None:
    missing = [
        f"{name_of(path)}:{name}"
        for path in SOURCES
        for name, node in definitions(parsed(path).body)
        if not ast.get_docstring(node)
    ]
    assert missing == []


TESTS = sorted((ROOT / "tests").rglob("*.py"))
A_TEST_MODULE = re.compile(r"tests\.(\w+\.)*test_\w+")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def test_no_module_imports_a_test_module() -> None:
    assert A_TEST_MODULE.fullmatch("tests.operations.test_plan")
    found = [f"{name_of(path)}: {name}" for path in TESTS for name in imported(path) if A_TEST_MODULE.fullmatch(name)]
    assert found == [], "what two modules need belongs in tests/support"


def test_no_test_has_a_name_of_60_characters() -> None:
    found = [
        f"{name_of(path)}: {each.name}" for path in TESTS for each in functions(path) if each.name.startswith("test_")
    ]
    assert len(found) > 1000
    assert [each for each in found if len(each.rpartition(": ")[2]) >= 60] == []


WITHOUT_A_SUBJECT = {
    "cli/main.py": 1,  # the output's disk is full
    "core/lifecycle.py": 1,  # these are raised while a tenant is worked on, and its report names it
    "ledger/ledger.py": 1,
    "ledger/run_scope.py": 1,
    "ledger/settling.py": 1,
    "operations/steps/run.py": 1,
    "sandbox/folder.py": 1,  # there is no folder to name
}
"""Errors that name no subject, by file."""


def test_an_error_names_its_subject() -> None:
    found: dict[str, int] = {}
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"Refused", "Halt", "TryAgain", "Locked"}
                and "subject" not in {each.arg for each in node.keywords}
            ):
                name = str(path.relative_to(ROOT / "src" / "rehouse"))
                found[name] = found.get(name, 0) + 1
    assert found == WITHOUT_A_SUBJECT


def test_nothing_is_called_after_a_vague_role() -> None:
    found = []
    for path in SOURCES:
        names = [path.stem, *(node.name for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef))]
        names += [node.name for node in functions(path) if node.name not in NAMES_OF_LIBRARIES]
        found += [
            f"{name_of(path)}: {name}" for name in names if any(word in name.lower() for word in FORBIDDEN_IN_NAMES)
        ]
    assert found == []


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(each, ast.Name) and each.id in {"property", "cached_property"} for each in node.decorator_list
    )


def test_no_function_is_called_by_a_participle() -> None:
    names = {
        f"{name_of(path)}: {node.name}"
        for path in SOURCES
        for node in functions(path)
        if A_PARTICIPLE.fullmatch(node.name) and not is_property(node)
    }
    assert names == set(), "a function is an imperative or a noun: `escape`, `escaped_key`, not `escaped`"


@pytest.mark.parametrize("name", ["saved", "_told_apart", "ended_by", "given", "_kept"])
def test_a_participle_is_seen(name: str) -> None:
    assert A_PARTICIPLE.fullmatch(name)


@pytest.mark.parametrize("name", ["save", "speed_up", "is_saved", "read_tags", "kept_versions"])
def test_an_imperative_and_a_noun_are_no_participles(name: str) -> None:
    assert not A_PARTICIPLE.fullmatch(name)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_verb_is_a_file_a_command_and_a_page(command: str) -> None:
    assert (ROOT / "docs" / "commands" / f"{command}.md").is_file()
    verb = OPERATION_OF.get(command, command).replace("-", "_")
    assert (ROOT / "src" / "rehouse" / "cli" / "commands" / f"{verb}.py").is_file()
    is_there = (ROOT / "src" / "rehouse" / "operations" / f"{verb}.py").is_file()
    assert is_there is (command not in CLI_ALONE)


def test_no_page_is_of_a_command_that_is_not_there() -> None:
    assert {path.stem for path in (ROOT / "docs" / "commands").glob("*.md")} == set(COMMANDS)


@pytest.mark.parametrize(
    "trace", ["/" + "root/x", "at /" + "work/main", "--index" + "-url https://x", "../" + "shared/guide"]
)
def test_traces_of_one_machine_are_known(trace: str) -> None:
    assert TRACES.search(trace)


def test_no_tracked_file_speaks_of_one_machine() -> None:
    found = []
    for path in tracked():
        if path.suffix in {".png", ".docx", ".pdf"} or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name_of(path)}: {trace[0]}" for trace in TRACES.finditer(text)]
    assert found == []


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[Unreleased\]$|^## \[\d+\.\d+\.\d+\] - Unreleased$", text, re.MULTILINE)
