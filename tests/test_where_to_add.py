"""docs/architecture.md says which files a new verb touches: a toy verb made of these, and no others, is complete."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.sampling import LONG_SAMPLE

pytestmark = LONG_SAMPLE
ROOT = Path(__file__).parents[1]
VERB = "greet"
OPERATION = '''"""Greeting: says how many tenants there are."""

from __future__ import annotations

from rehouse.ledger.ledger import Ledger


def greet(ledger: Ledger) -> int:
    """Return how many tenants there are to be greeted."""
    return len(ledger.tenants())
'''
COMMAND = '''"""The command `greet`: says how many tenants there are."""

from __future__ import annotations

from rehouse.cli.output import say


def greet() -> None:
    """Say how many tenants there are.

    Example: `rehouse greet`.
    """
    from rehouse.cli.services import ledger
    from rehouse.operations import greet as greeting

    with ledger() as opened:
        say(f"tenants: {greeting.greet(opened)}")
'''
PAGE = """# `rehouse greet`

Says how many tenants there are.

## Usage

```console
rehouse greet
```

**Roles of [`iam-policy`](iam-policy.md):** none

## Options

None.

## What it prints

```text
tenants: 3
```

## Exit status

0.

## JSON

None.

## What it changes

Nothing.
"""
TEST = """from tests.support.data_room import Room

from rehouse.operations.greet import greet


def test_tenants_are_counted(room: Room) -> None:
    with room.services() as services:
        assert greet(services.ledger) == 1
"""
NEW = {
    "operations/X.py": OPERATION,
    "cli/commands/X.py": COMMAND,
    "docs/commands/X.md": PAGE,
    "tests/operations/test_X.py": TEST,
}
CHANGED = {
    "cli/main.py": [
        ("    finish,\n", "    finish,\n    greet,\n"),
        ('        "status": status.status,\n', '        "status": status.status,\n        "greet": greet.greet,\n'),
    ],
    "README": [
        (
            "| [`rehouse status [SLUG]`]",
            "| [`rehouse greet`](docs/commands/greet.md) | hello |\n| [`rehouse status [SLUG]`]",
        )
    ],
    "pyproject.toml": [("doctor | finish |", "doctor | finish | greet |")],
}
WHERE = {"operations/X.py": "src/rehouse/", "cli/commands/X.py": "src/rehouse/", "cli/main.py": "src/rehouse/"}


def files_of_the_row() -> set[str]:
    """The files that docs/architecture.md names for a verb."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| a verb \|(.*)\|$", text, re.MULTILINE)
    return set(re.findall(r"`([^`]+)`", row)) | ({"README"} if "README" in row else set())


def copy_of_the_project(folder: Path) -> Path:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    subprocess.run("git init -q && git add -A", cwd=folder, shell=True, check=True)
    return folder


def add_the_verb(folder: Path) -> None:
    for name, text in NEW.items():
        (folder / (WHERE.get(name, "") + name.replace("X", VERB))).write_text(text, encoding="utf-8")
    for name, changes in CHANGED.items():
        path = folder / (WHERE.get(name, "") + ("README.md" if name == "README" else name))
        text = path.read_text(encoding="utf-8")
        for before, after in changes:
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def complaints(folder: Path) -> str:
    """What the project's own tests and the rules of imports say, empty if nothing."""
    rules = run(folder, str(Path(sys.executable).parent / "lint-imports"))
    tests = run(
        folder, sys.executable, "-m", "pytest", "tests/test_architecture.py", "tests/test_docs.py",
        "tests/operations/test_greet.py", "-k", "not tutorial",
    )  # fmt: skip
    assert tests.returncode in {0, 1}, tests.stdout + tests.stderr
    return "".join(done.stdout + done.stderr for done in (rules, tests) if done.returncode)


def test_a_verb_touches_the_files_that_are_listed(tmp_path: Path) -> None:
    assert files_of_the_row() == {*NEW, *CHANGED}
    folder = copy_of_the_project(tmp_path)
    add_the_verb(folder)
    assert complaints(folder) == ""
    shown = run(folder, sys.executable, "-m", "rehouse", VERB, "--help")
    assert "Say how many tenants there are." in shown.stdout, shown.stderr


@pytest.mark.parametrize("forgotten", ["docs/commands/X.md", "README", "pyproject.toml"])
def test_a_file_that_was_forgotten_is_told(tmp_path: Path, forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(NEW if forgotten in NEW else CHANGED, forgotten)
    folder = copy_of_the_project(tmp_path)
    add_the_verb(folder)
    assert VERB in complaints(folder)
