"""The real servers that the tests run against: one PostgreSQL and one S3 server a session, a database and a bucket a test."""

from __future__ import annotations

import functools
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import botocore.loaders
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from tests.support.ceph import CephServer, running_gateway

from rehouse.config import Settings
from rehouse.sandbox.account import private_folder
from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.s3_server import S3Server
from rehouse.sandbox.schema import create_application, create_older_tool

EVERYTHING = {
    "everything": {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:*", "cloudwatch:*", "sts:*"], "Resource": "*"}],
    }
}
collect_ignore = ["support/django_project", *([] if find_spec("playwright") else ["browser"])]
"""Django imports its project by another name. scripts/browser installs Playwright, without which its tests cannot be collected."""
_numbers = itertools.count(1)
STS = "AWS_ENDPOINT_URL_STS"
ROOM_BYTES = 4 * 1024**3
MINISTACK, CEPH = "ministack", "ceph"
_of_the_session: dict[str, str] = {}
"""What `storage_settings` set, for every test that runs after it."""

# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer another PostgreSQL than the embedded one, and the second S3 server."""
    parser.addoption("--postgres-bin", type=Path, help="the bin folder of an installed PostgreSQL, 13 or newer")
    parser.addoption(
        "--s3-server", choices=[MINISTACK, CEPH], default=MINISTACK, help="what tests/acceptance runs on (ministack)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip on Ceph what is marked so, with the reason."""
    if config.getoption("--s3-server") == CEPH:
        for item in items:
            for mark in item.iter_markers("not_on_ceph"):
                item.add_marker(pytest.mark.skip(reason=mark.args[0]))


@pytest.fixture(scope="session", autouse=True)
def service_models() -> Iterator[None]:
    """Let all boto3 sessions share the service models once read: to read them is half of what a test of S3 costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.session.create_loader", functools.cache(botocore.loaders.create_loader))
        yield


@pytest.fixture(autouse=True)
def sts_as_it_was() -> Iterator[None]:
    """Leave STS where it was: a test that sets it while a stub has set it would leave the stub's address behind."""
    before = os.environ.get(STS)
    yield
    found = _of_the_session.get(STS, before)
    if found is None:
        os.environ.pop(STS, None)
    else:
        os.environ[STS] = found


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder of this session, in memory where there is room: a database a test means thousands of files.

    pytest's own folders are closed to the account that PostgreSQL runs as.
    """
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_BYTES
    below = memory if is_roomy else Path(tempfile.gettempdir())
    folder = private_folder(below / f"rehouse-tests-{secrets.token_hex(4)}")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(servers_folder: Path, pytestconfig: pytest.Config) -> Iterator[PostgresServer]:
    """A running PostgreSQL: the embedded one, or that of `--postgres-bin`."""
    with PostgresServer(servers_folder / "postgres", binaries=pytestconfig.getoption("--postgres-bin")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(servers_folder: Path, pytestconfig: pytest.Config) -> Iterator[S3Server | CephServer]:
    """A running S3 server that checks signatures; ministack checks policies as well."""
    if pytestconfig.getoption("--s3-server") == CEPH:
        with running_gateway(servers_folder) as gateway:
            yield gateway
    else:
        with S3Server(servers_folder / "storage") as server:
            yield server


@pytest.fixture(scope="session")
def storage_settings(s3_server: S3Server) -> Iterator[Settings]:
    """Settings for the S3 server; the environment holds the keys of an IAM user who may do everything on S3."""
    access_key, secret_key = s3_server.user("tests", EVERYTHING)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "REHOUSE_"))]:
            patch.delenv(name)
        patch.setenv("AWS_ACCESS_KEY_ID", access_key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
        patch.setenv(STS, s3_server.endpoint_url)
        _of_the_session[STS] = s3_server.endpoint_url
        patch.setenv("AWS_ENDPOINT_URL_IAM", s3_server.endpoint_url)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield Settings(endpoint_url=s3_server.endpoint_url, region=s3_server.region)


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """The name of a fresh bucket."""
    name = f"bucket-{next(_numbers)}"
    s3_server.root().create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def templates(postgres: PostgresServer) -> Callable[[str], str]:
    """Return a function that makes a template database once and tells its name: `integer`, `uuid`, `older_tool`."""
    made: set[str] = set()

    def template(kind: str) -> str:
        name = f"template_{kind}"
        if kind not in made:
            made.add(kind)
            with psycopg.connect(postgres.create_database(name)) as connection:
                create_application(connection, "uuid" if kind == "uuid" else "integer")
                if kind == "older_tool":
                    create_older_tool(connection, "integer")
        return name

    return template


@pytest.fixture
def new_database(postgres: PostgresServer, templates: Callable[[str], str]) -> Iterator[Callable[[str | None], str]]:
    """Return a function that makes a fresh database, empty or of a template's kind, and tells its url."""
    names: list[str] = []

    def make(kind: str | None = None) -> str:
        names.append(f"test_{next(_numbers)}")
        return postgres.create_database(names[-1], templates(kind) if kind else None)

    yield make
    for name in names:
        postgres.drop_database(name)


@pytest.fixture
def empty_database(new_database: Callable[[str | None], str]) -> str:
    """The url of a fresh, empty database."""
    return new_database(None)


@pytest.fixture
def application_database(new_database: Callable[[str | None], str]) -> str:
    """The url of a fresh database with the application's schema and integer tenant ids, no rows."""
    return new_database("integer")


@pytest.fixture
def application_database_uuid(new_database: Callable[[str | None], str]) -> str:
    """The url of a fresh database with the application's schema and uuid tenant ids, no rows."""
    return new_database("uuid")


@pytest.fixture
def older_tool_database(new_database: Callable[[str | None], str]) -> str:
    """The url of a fresh database with the application's schema (integer) and the older tool's tables and trigger."""
    return new_database("older_tool")
