"""`rehouse demo` ends with 0 exactly when the outcome is the expected one; with more broken than was planted, it does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command with an environment that knows nothing."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, *command], check=False, env=environment, cwd="/", capture_output=True, text=True, timeout=400
    )


def test_the_demo_ends_as_it_must_and_says_why():
    done = run("-m", "rehouse", "demo")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for reason in ("missing object", "other tenants object", "why migrate-all ended with 3"):
        assert reason in done.stdout


@pytest.mark.long
@pytest.mark.sample
def test_a_document_that_was_lost_unplanned_makes_it_fail():
    done = run("-c", WITHOUT_AN_OBJECT)
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "The outcome is not the expected one" in done.stdout
    assert "wayne-enterprises" in done.stdout.rpartition("The outcome is not")[2]
