"""Ctrl-C and SIGTERM while a command runs."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.support.command_line import BARE, COMMAND, SECRET
from tests.support.data_room import Room
from tests.support.s3_stub import Scripted, Seen, serving

from rehouse.cli.services import stop_on_signals
from rehouse.core.errors import Interrupted

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::000000000000:user/u</Arn><UserId>u</UserId><Account>000000000000</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


@pytest.fixture
def hanging(application_database: str) -> Iterator[Callable[[bool], tuple[subprocess.Popen[bytes], threading.Event]]]:
    """Return a function that starts `plan` on an endpoint that never answers (`sts`: only no listing), and waits for it."""
    over = threading.Event()
    arrived = threading.Event()
    answers_sts = threading.Event()

    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST" and answers_sts.is_set():
            return Scripted(200, IDENTITY)
        if seen.method == "HEAD" and answers_sts.is_set():  # the look at the shared bucket's region
            return Scripted(200, b"")
        arrived.set()
        over.wait(30)
        return Scripted(500)

    with serving(answer) as endpoint:
        told = {"DATABASE_URL": application_database, "AWS_ENDPOINT_URL": endpoint.url, "NO_PROXY": "127.0.0.1"}
        keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": SECRET}

        def start(sts: bool) -> tuple[subprocess.Popen[bytes], threading.Event]:
            if sts:
                answers_sts.set()
            process = subprocess.Popen(
                [*COMMAND, "plan"],
                env=BARE | told | keys,
                cwd="/",
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A shell that puts the tests into the background has them ignore Ctrl-C, and their children after them.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )
            assert arrived.wait(30)
            return process, over

        yield start
        over.set()


Hanging = Callable[[bool], tuple[subprocess.Popen[bytes], threading.Event]]


def test_ctrl_c_before_anything_began_ends_with_130(hanging: Hanging) -> None:
    process, _ = hanging(False)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert (out, b"Traceback" in errors) == (b"", False)
    assert b"Error: interrupted before the end" in errors


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_once_ends_it_and_twice_stops_at_once(hanging: Hanging, sent: signal.Signals) -> None:
    process, _ = hanging(True)
    process.send_signal(sent)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"stopping (again")  # a plan has nothing to save
    if process.poll() is None:
        process.send_signal(sent)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert b"Traceback" not in errors


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_event_is_locked_stops_the_run(room: Room, sent: signal.Signals) -> None:
    with room.services() as opened, stop_on_signals(opened):
        with opened.stopping._cond:  # as in the midst of its wait()
            signal.raise_signal(sent)
        assert opened.stopping.wait(10)
        with pytest.raises(Interrupted):
            opened.stop_here()
