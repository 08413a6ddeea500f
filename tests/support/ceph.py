"""A Ceph object gateway as the second S3 server: monitor, store (in memory, or in a file) and gateway, on loopback only.

The programs are the system's (Debian: ceph-mon, ceph-osd, radosgw, ceph-common). Each runs under a guardian, so that none is left
behind, and nothing outlives the folder. It has one user, the owner of everything: policies of users are not Ceph's.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from rehouse.core.errors import TryAgain
from rehouse.sandbox.process import LOOPBACK, ServerProcess, bare_environment, free_port

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph")
NO_POLICIES = "Ceph has one user here, who may do everything: there are no policies of users to deny with"
"""Why a test is skipped here."""
ATTEMPTS = 8
"""Whoever asks the monitor before having its map is refused now and then, a store that starts included: it asks again."""
SETTINGS = """
[global]
fsid = {fsid}
mon host = [v1:{host}:{mon_port}]
mon initial members = a
paxos propose interval = 0.05
paxos min wait = 0.01
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
mon allow pool size one = true
mon warn on pool no redundancy = false
osd pool default size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = {store}
memstore device bytes = {store_bytes}
bluestore block size = {store_bytes}
osd memory target = 1073741824
osd class load list = *
osd class default list = *
mon data = {folder}/mon
osd data = {folder}/osd
rgw data = {folder}/rgw
run dir = {folder}
crash dir = {folder}
admin socket =
log file =
mon cluster log file =
log to stderr = true
err to stderr = true
rgw frontends = beast endpoint={host}:{port}
[osd]
public addr = {host}
cluster addr = {host}
"""


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]


def search_path() -> str:
    """Return where the programs are looked for: an ordinary user's PATH lacks the system's."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class CephServer:
    """One gateway, as a context manager; it holds `store_bytes` at most, in memory or else in a file in `folder`."""

    def __init__(self, folder: Path, *, store_bytes: int = 2 * 1024**3, is_in_memory: bool = True) -> None:
        self.folder = folder
        self.region = "us-east-1"
        self.port = free_port()
        self._store_bytes = store_bytes
        self._store = "memstore" if is_in_memory else "bluestore"
        self._keys = (secrets.token_hex(10), secrets.token_hex(20))
        self._daemons: list[ServerProcess] = []

    @property
    def endpoint_url(self) -> str:
        """Where it listens, `http://127.0.0.1:port`."""
        return f"http://{LOOPBACK}:{self.port}"

    def root(self) -> Any:
        """Return an S3 client of the owner of everything."""
        return self.client_of(*self._keys)

    def client_of(self, access_key: str, secret_key: str) -> Any:
        """Return an S3 client with these keys."""
        config = Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            max_pool_connections=64,
            proxies={},
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=config,
        )

    def user(self, name: str, policies: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
        """Return the owner's keys, whoever asks: there are no policies of users here."""
        return self._keys

    def __enter__(self) -> CephServer:
        self.folder.mkdir(mode=0o700, parents=True)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop everything, the gateway first, and forget what it held."""
        while self._daemons:
            self._daemons.pop().stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        for name in ("mon", "osd", "rgw"):
            (self.folder / name).mkdir()
        (self.folder / "ceph.conf").write_text(self._configuration())
        self._run("ceph-mon", "--mkfs", "-i", "a")
        self._daemon("ceph-mon", "-i", "a", "-f", ready=lambda: self._says(b"osds", "osd", "stat"))
        store = str(uuid.uuid4())
        self._run("ceph", "osd", "new", store)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        self._daemon("ceph-osd", "-i", "0", "-f", ready=lambda: self._says(b" 1 up", "osd", "stat"))
        access, secret = self._keys
        user = ("--uid=owner", "--display-name=owner", "--max-buckets=0")
        self._run("radosgw-admin", "user", "create", *user, f"--access-key={access}", f"--secret-key={secret}")
        for area in ("zonegroup", "zone"):
            pool = () if area == "zonegroup" else ("--data-pool=default.rgw.infrequent",)
            place = ("--placement-id=default-placement", "--storage-class=STANDARD_IA", *pool)
            self._run("radosgw-admin", area, "placement", "add", f"--rgw-{area}=default", *place)
        self._gateway()

    def restart(self) -> None:
        """Kill the gateway and start it again on the same port; what the store holds stays."""
        self._daemons.pop().stop()
        self._gateway()

    def _gateway(self) -> None:
        self._daemon("radosgw", "-n", "client.rgw", "-f", ready=self._answers)

    def _configuration(self) -> str:
        return SETTINGS.format(
            fsid=uuid.uuid4(),
            mon_port=free_port(),
            host=LOOPBACK,
            port=self.port,
            folder=self.folder,
            store=self._store,
            store_bytes=self._store_bytes,
        )

    def _command(self, program: str, *arguments: str) -> list[str]:
        found = shutil.which(program, path=search_path())
        assert found, f"{program} is not installed"
        return [found, "-c", str(self.folder / "ceph.conf"), *arguments]

    def _run(self, program: str, *arguments: str) -> None:
        said = ""
        for _ in range(ATTEMPTS):
            done = self._ran(program, *arguments)
            if done.returncode == 0:
                return
            said = done.stderr.decode(errors="replace")[-2000:]
        raise AssertionError(f"{program} {arguments[0]}: {said}")

    def _says(self, words: bytes, *arguments: str) -> bool:
        done = self._ran("ceph", "--connect-timeout", "5", *arguments)
        return done.returncode == 0 and words in done.stdout

    def _ran(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = self._command(program, *arguments)
        return subprocess.run(command, check=False, capture_output=True, timeout=120, env=bare_environment())

    def _daemon(self, program: str, *arguments: str, ready: Callable[[], bool]) -> None:
        process = ServerProcess(program, self.folder / f"{program}.log")
        self._daemons.append(process)
        for attempt in range(1, ATTEMPTS + 1):
            # Killed, not asked: a store in memory would write all it holds to the disk first.
            process.start(
                self._command(program, *arguments),
                environment=bare_environment(),
                stop_signal=signal.SIGKILL,
                grace_seconds=5,
            )
            try:
                process.wait_until(ready)
            except TryAgain:
                if attempt == ATTEMPTS:
                    raise
            else:
                break

    def _answers(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(self.endpoint_url, timeout=5) as reply:
                return bool(reply.status == 200)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


@contextmanager
def running_gateway(folder: Path) -> Iterator[CephServer]:
    """Hold a gateway below a folder; skip the test, and say why, where Ceph is not installed."""
    if absent := missing():
        pytest.skip(
            f"Ceph is not installed (no {', '.join(absent)}; Debian: apt-get install ceph-mon ceph-osd radosgw)"
        )
    with CephServer(folder / "ceph") as server:
        yield server
