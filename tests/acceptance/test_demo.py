"""`rehouse demo` ends with 0 exactly when the outcome is the expected one; with more broken than was planted, it does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.support import picture

from rehouse.cli.closing_screen import RULE
from rehouse.cli.commands.demo import STEPS

pytestmark = pytest.mark.not_on_ceph("`rehouse demo` starts the servers of its sandbox itself")
WITHOUT_AN_OBJECT = """
import sys
from rehouse.cli import main
from rehouse.cli.commands import demo
from rehouse.sandbox.servers import Sandbox

class Broken(Sandbox):
    def __enter__(self):
        entered = super().__enter__()
        moving = next(row for row in self.sample.rows_of("wayne-enterprises-research-and-development-division") if row.key)
        self.s3.root().delete_object(Bucket=self.sample.shared_bucket, Key=moving.key)
        return entered

def new_sandbox(**options):
    made = sandbox(**options)
    made.__class__ = Broken
    return made

sandbox, demo.new_sandbox = demo.new_sandbox, new_sandbox
demo.STEPS = tuple(step for step in demo.STEPS if step.arguments[0] in ("plan", "migrate-all"))
sys.exit(main.main(["demo"]))
"""
WITH_A_WRITE_TO_THE_SHARED_BUCKET = """
import sys
from rehouse.cli import main
from rehouse.cli.commands import demo

def contents(servers):
    servers.s3.root().put_object(Bucket=servers.sample.shared_bucket, Key="uploads/what", Body=b"written anew")
    return listed(servers)

listed, demo._contents = demo._contents, contents
sys.exit(main.main(["demo"]))
"""


class Shown(NamedTuple):
    """What `scripts/picture` printed, the demo's output, and the picture that it drew."""

    status: int
    written: str
    picture: str

    @property
    def screen(self) -> str:
        """The last screen, without colours."""
        return picture.plain(picture.last_screen(self.written))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The demo in a terminal of 80 columns and 24 lines, run once by the picture's script."""
    file = tmp_path_factory.mktemp("picture") / "demo.svg"
    done = subprocess.run(
        ["scripts/picture", str(file)], cwd=picture.ROOT, check=False, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Shown(done.returncode, done.stdout, file.read_text(encoding="utf-8"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with an environment that knows nothing."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, *command], check=False, env=environment, cwd="/", capture_output=True, text=True, timeout=400
    )


def test_the_demo_ends_as_it_must_and_says_why(shown: Shown) -> None:
    for reason in ("missing_object", "other_tenants_object", "448 documents moved, 4 stayed behind"):
        assert reason in shown.screen
    for fact in (
        r"^Moved +448 of 493 documents, .* 7 tenants have a bucket now$",
        r"^Not moved +30 of inactive tenants, 11 without a file, 4 stayed behind$",
        r"^Proven +448 of 448 ",
        r"^Shared bucket +(\d+) objects before and after",
        r"^Cost +\d.* \(448 copies, 1 repeated\)",
        r"^Next  \S",
    ):
        assert re.search(fact, shown.screen, re.MULTILINE), fact
    begun = " ".join(picture.plain(shown.written).split())
    assert "8 tenants and 493 documents in one shared bucket" in begun
    assert "30 belong to inactive tenants, 11 have no file, 4 were broken on purpose: 448 can be moved." in begun
    assert "4 more rows belong to no tenant." in begun


def test_the_last_screen_fits_80_columns_and_24_lines(shown: Shown) -> None:
    lines = shown.screen.splitlines()
    assert len(lines) < picture.LINES  # one is the shell's prompt
    assert max(map(len, lines)) <= picture.COLUMNS


def test_what_a_step_is_for_is_wrapped_between_words(shown: Shown) -> None:
    lines = picture.plain(shown.written).splitlines()
    for step in STEPS:
        end = lines.index(" ".join(("$ rehouse", *step.arguments)))
        begin = max(number for number, line in enumerate(lines[:end]) if line == RULE) + 1
        assert " ".join(line.strip() for line in lines[begin:end]) == step.why
        assert max(map(len, lines[begin:end])) <= picture.COLUMNS


def test_the_picture_is_what_the_demo_prints_today(shown: Shown) -> None:
    committed = picture.PICTURE.read_text(encoding="utf-8")
    assert picture.mask(picture.text_of(committed)) == picture.mask(shown.screen), "scripts/picture draws it anew"


def test_the_picture_s_script_draws_the_last_screen(shown: Shown) -> None:
    assert picture.text_of(shown.picture) == shown.screen
    assert set(re.findall(r"https?://[^\"\s]+", shown.picture)) == {"http://www.w3.org/2000/svg"}


def test_servers_say_what_they_do_before_the_last_screen(shown: Shown) -> None:
    said = [line.strip() for line in picture.plain(shown.written).splitlines()]
    places = [next(number for number, line in enumerate(said) if line.startswith(begin))
              for begin in ("Starting PostgreSQL", "Starting the S3", "Adding the sample", "Ready after", "Stopping", "Stopped",
                            "Demo done")]  # fmt: skip
    assert places == sorted(places)


@pytest.mark.long
@pytest.mark.sample
def test_a_document_that_was_lost_unplanned_makes_it_fail() -> None:
    done = run("-c", WITHOUT_AN_OBJECT)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "The outcome is not the expected one" in done.stdout
    assert "wayne-enterprises" in done.stdout.rpartition("The outcome is not")[2]


@pytest.mark.long
@pytest.mark.sample
def test_a_change_of_the_shared_bucket_makes_it_fail() -> None:
    done = run("-c", WITH_A_WRITE_TO_THE_SHARED_BUCKET)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "the shared bucket was changed: uploads/what" in done.stdout


@pytest.mark.long
@pytest.mark.sample
def test_a_demo_beside_somebody_s_settings_ignores_them(tmp_path: Path) -> None:
    (tmp_path / "rehouse.toml").write_text('shared_bucket = "mine"\n')
    code = "import sys; from rehouse.cli import main; from rehouse.cli.commands import demo\n"
    code += "demo.STEPS = demo.STEPS[2:3]; sys.exit(main.main(['demo']))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
