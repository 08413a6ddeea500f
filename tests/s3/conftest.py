"""Planes over the real server and over the scripted one."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rehouse.config import Settings
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_buckets = itertools.count(1)


@pytest.fixture
def plane(storage_settings: Settings) -> Iterator[BulkPlane]:
    """A bulk plane over the real server."""
    made = BulkPlane(Session(storage_settings), max_in_flight=16, max_rate=None)
    yield made
    made.close()


@pytest.fixture
def stub_plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., BulkPlane]]:
    """Return a function that makes a plane over an endpoint; it waits nearly nothing before it tries again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")
    made: list[BulkPlane] = []

    def make(url: str, *, in_flight: int = 4, owner: str | None = None) -> BulkPlane:
        session = Session(Settings(endpoint_url=url))
        made.append(
            BulkPlane(
                session, max_in_flight=in_flight, max_rate=None, owner=owner, random=lambda: random.random() / 100
            )
        )
        return made[-1]

    yield make
    for plane in made:
        plane.close()


@pytest.fixture
def task() -> Callable[..., CopyTask]:
    """Return a function that makes a CopyTask."""

    def make(number: int = 1, **changed: object) -> CopyTask:
        fields: dict[str, object] = {
            "document_id": str(number),
            "source": ObjectRef("shared", f"in/{number}"),
            "source_etag": "aa",
            "size": 1,
            "storage_class": "STANDARD",
            "target": ObjectRef("home", f"documents/{number}"),
        }
        return CopyTask(**{**fields, **changed})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="module")
def root(s3_server: S3Server) -> S3Client:
    """A client with the account's own rights, to prepare with."""
    return s3_server.root()


@pytest.fixture
def target(root: S3Client) -> str:
    """The name of a second fresh bucket, versioned as tenants' are."""
    name = f"target-{next(_buckets)}"
    root.create_bucket(Bucket=name)
    root.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def put(root: S3Client, bucket: str) -> Callable[..., CopyTask]:
    """Return a function that puts an object and tells the task that copies it to `target`."""

    def make(key, target, body=None, to=None, **more):
        body = key.encode() if body is None else body
        reply = root.put_object(Bucket=bucket, Key=key, Body=body, **more)
        etag = reply["ETag"].strip('"')
        return CopyTask(key, ObjectRef(bucket, key), etag, len(body), "STANDARD", ObjectRef(target, to or f"t/{key}"))

    return make


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a self-signed certificate for 127.0.0.1 and localhost and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=stub"
    names = [
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost",
        "-keyout",
        folder / "key.pem",
        "-out",
        folder / "certificate.pem",
    ]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Session]:
    """Return a function that sets the AWS environment and the profile, and makes a Session in them."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-key")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    def make(*, profile: str = "", environment: dict[str, str] | None = None, **settings: Any) -> Session:
        for name, value in (environment or {}).items():
            monkeypatch.setenv(name, value)
        (tmp_path / "config").write_text(f"[default]\n{profile}\n")
        return Session(Settings(**settings))

    return make
