"""However the process that asked for the servers ends, they end; and their files go where they can."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from tests.support.running_sandbox import COMMAND, RunningSandbox, listens

from rehouse.core.errors import Refused, TryAgain
from rehouse.sandbox.account import NOBODY, Account, installation_for, is_reachable
from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.process import ServerProcess, free_port

SLEEP = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_the_normal_end(ending: signal.Signals) -> None:
    running = RunningSandbox()
    assert all(map(listens, running.ports))
    running.process.send_signal(ending)
    assert running.process.wait(20) == 0, running.said()
    assert not any(map(listens, running.ports))
    assert not running.folder.exists()
    running.wait_for_silence()


def test_a_killed_sandbox_leaves_no_server(servers_folder: Path) -> None:
    running = RunningSandbox("--folder", str(servers_folder / "killed"))
    assert running.folder == servers_folder / "killed"
    running.process.kill()
    running.process.wait()
    running.wait_for_silence()


def test_an_interrupt_during_the_start_leaves_nothing(servers_folder: Path) -> None:
    folder = servers_folder / "interrupted"
    process = subprocess.Popen([sys.executable, *COMMAND, "--folder", str(folder)], stdout=subprocess.DEVNULL)
    while not folder.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 130
    assert not folder.exists()


def _start(process: ServerProcess, grace_seconds: float = 5) -> None:
    process.start(SLEEP, environment={}, stop_signal=signal.SIGTERM, grace_seconds=grace_seconds)
    process.wait_until(lambda: "awake" in process.log.read_text())


def _is_alive(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(listed) and not listed.startswith("Z")


def test_a_server_outlives_neither_its_guardian_nor_a_stop(tmp_path: Path) -> None:
    process = ServerProcess("the sleeper", tmp_path / "log")
    _start(process)
    pid = process.pid
    parent = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    os.kill(int(parent), signal.SIGKILL)
    process.stop()
    assert not _is_alive(pid)
    assert process.pid == 0
    process.stop()


def test_a_fork_that_holds_the_pipe_keeps_no_server(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, time
from tests.sandbox.test_lifetime import _start, ServerProcess
process = ServerProcess("the sleeper", pathlib.Path({str(tmp_path / "log")!r}))
_start(process)
print(process.pid, flush=True)
if os.fork():
    os.kill(os.getpid(), 9)
time.sleep(60)
"""
    started = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    pid = int(started.stdout.readline())
    started.wait()
    deadline = time.monotonic() + 50  # the fork holds the pipe for sixty
    while _is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started.stdout.close()


def test_a_server_that_does_not_listen_to_the_signal_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('awake', flush=True); time.sleep(600)"
    process = ServerProcess("the deaf one", tmp_path / "log")
    process.start([sys.executable, "-c", deaf], environment={}, stop_signal=signal.SIGTERM, grace_seconds=0.1)
    process.wait_until(lambda: "awake" in process.log.read_text())
    pid = process.pid
    process.stop()
    assert not _is_alive(pid)


def test_a_server_that_does_not_start_tells_its_last_words(tmp_path: Path) -> None:
    process = ServerProcess("the hapless", tmp_path / "log")
    process.start(
        [sys.executable, "-c", "raise SystemExit('no room')"],
        environment={},
        stop_signal=signal.SIGTERM,
        grace_seconds=1,
    )
    with pytest.raises(TryAgain, match="the hapless did not start: no room"):
        process.wait_until(lambda: False)
    assert stat.S_IMODE(process.log.stat().st_mode) == 0o600


def test_a_taken_port_is_an_error_with_its_reason(servers_folder: Path, postgres: PostgresServer) -> None:
    with pytest.raises(TryAgain, match="PostgreSQL did not start"):
        PostgresServer(servers_folder / "second", port=postgres.port).start()


def test_free_ports_are_free() -> None:
    assert not listens(free_port())


def test_the_server_checks_its_password(postgres: PostgresServer) -> None:
    wrong = postgres.url("postgres").replace(postgres.url("").split(":")[2].split("@")[0], "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs PostgreSQL as himself")
class TestAsRoot:
    """Root may not run PostgreSQL: somebody else does."""

    def test_a_closed_folder_needs_another_way(self, tmp_path: Path) -> None:
        (tmp_path / "closed").mkdir(mode=0o700)
        assert not is_reachable(tmp_path / "closed" / "inside")
        server = PostgresServer(tmp_path / "closed" / "inside")
        try:
            server.start()
        except Refused as refused:  # where user namespaces are forbidden, as in many containers
            assert "everybody can enter" in refused.hint
            return
        with psycopg.connect(server.url("postgres")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        server.stop()

    def test_binaries_out_of_reach_are_copied(self, tmp_path: Path, servers_folder: Path) -> None:
        package = tmp_path / "embedded"  # pytest's folders are closed to others
        for path in (package / "pginstall" / "bin" / "postgres", tmp_path / "embedded.libs" / "libpq.so"):
            path.parent.mkdir(parents=True)
            path.write_text("a program")
        for part in ("lib", "share"):
            (package / "pginstall" / part).mkdir()
        folder = servers_folder / "copied"
        folder.mkdir()
        installation = installation_for(Account(uid=NOBODY), package, folder)
        assert installation == folder / "embedded" / "pginstall"
        assert (installation / "bin" / "postgres").stat().st_uid == NOBODY
        assert (folder / "embedded.libs" / "libpq.so").exists()
        assert installation_for(Account(), package, folder) == package / "pginstall"

    def test_an_ordinary_user_can_run_it_too(self, servers_folder: Path) -> None:
        interpreter = Path(f"/usr/bin/python3.{sys.version_info.minor}")
        packages = [entry for entry in sys.path if entry.endswith("site-packages") or entry.endswith("src")]
        if not interpreter.exists() or not all(is_reachable(Path(entry)) for entry in packages):
            pytest.skip("no Python and project here that an ordinary user could read")
        home = servers_folder / "ordinary"
        subprocess.run([str(interpreter), "-m", "venv", "--without-pip", str(home)], check=True)
        site = home / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        (site / "rehouse.pth").write_text("\n".join(packages))
        running = RunningSandbox(python=str(home / "bin" / "python"), user=NOBODY)
        assert running.folder.stat().st_uid == NOBODY
        assert stat.S_IMODE(running.folder.stat().st_mode) == 0o700
        running.process.terminate()
        assert running.process.wait(20) == 0
        running.wait_for_silence()
