"""Both embedded servers with the sample data room in one folder, and the environment that points rehouse to them.

rehouse never gets root rights on the S3 server. It works as the IAM user `rehouse` under the given policies. The application
is the user `application` (the AWS profile of that name), which has rights on objects only.
The AWS profile and the PostgreSQL service `administrator` are for people, who make buckets, users and databases of their own.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rehouse.core.errors import Refused
from rehouse.core.permissions.policies import Scope, policy_documents
from rehouse.sandbox.folder import choose_folder, is_new, prepare_folder, refuse_unusable, remove_files
from rehouse.sandbox.postgres import SUPERUSER, PostgresServer
from rehouse.sandbox.process import LOOPBACK
from rehouse.sandbox.s3_server import S3Server
from rehouse.sandbox.sample import SHARED_BUCKET, Sample
from rehouse.sandbox.schema import TenantIdType
from rehouse.sandbox.seed import lay_out

DATABASE = "dataroom"
DATABASE_USER = "dataroom"
BUCKET_PREFIX = "dataroom-saas"
LOG_BUCKET = "dataroom-access-logs"
CORS_ORIGIN = "https://app.example.com"
ADMINISTRATOR = "administrator"
EVERYTHING = {
    ADMINISTRATOR: {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
}
UNSET = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")
"""Variables that would override the exported keys."""

SCOPE = Scope(shared_buckets=(SHARED_BUCKET,), bucket_prefix=BUCKET_PREFIX, log_bucket=LOG_BUCKET)


class Sandbox:
    """The servers as a context manager: entering starts and fills them, leaving stops them and removes their files.

    `policies` (name → document) are the rights of the user `rehouse`. Without `folder` it creates a temporary folder. `keep`
    keeps the files. `sample` is set on entering, unless `empty`: then the database has no tables and the shared bucket no
    objects. `report` is called with a line of text when something starts or stops.
    """

    sample: Sample

    def __init__(
        self,
        policies: Mapping[str, Mapping[str, Any]],
        *,
        folder: Path | None = None,
        tenant_id: TenantIdType = "integer",
        older_tool: bool = False,
        empty: bool = False,
        keep: bool = False,
        postgres_port: int | None = None,
        s3_port: int | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        if empty and (older_tool or tenant_id != "integer"):
            option = "--older-tool" if older_tool else "--tenant-id"
            raise Refused(
                f"{option} changes the sample data, and --empty leaves the sample data out",
                hint="use one of the two",
                subject="command line",
            )
        self.folder = choose_folder(folder)
        self.is_empty = empty
        self.postgres = PostgresServer(self.folder / "postgres", postgres_port)
        self.s3 = S3Server(self.folder / "storage", s3_port)
        self._policies = policies
        self._tenant_id = tenant_id
        self._older_tool = older_tool
        self._keep = keep
        self._report = report
        self._keys: dict[str, str] = {}
        self._leaving = contextlib.ExitStack()

    @property
    def environment_file(self) -> Path:
        """The file with the exports, to be read by `source`; only its owner can read it."""
        return self.folder / "environment"

    def __enter__(self) -> Sandbox:
        begun = time.monotonic()
        with contextlib.ExitStack() as starting, refuse_unusable(self.folder):
            everything = is_new(self.folder)
            if not self._keep:  # before the folder is made: an interrupt may come right after it
                starting.callback(remove_files, self.folder, everything=everything)
            prepare_folder(self.folder)
            self._report(f"Starting PostgreSQL in {self.folder}")
            starting.enter_context(self.postgres)
            self._report("Starting the S3 server")
            starting.enter_context(self.s3)
            self._fill()
            _write_private(self.environment_file, self.exports() + "\n")
            self._report(f"Ready after {time.monotonic() - begun:.1f} s")
            self._leaving = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._report("Stopping the S3 server and PostgreSQL")
        self._leaving.close()
        self._report(f"Stopped; the files are in {self.folder}" if self._keep else "Stopped; the files are removed")

    def environment(self) -> dict[str, str]:
        """Return the variables that point rehouse, psql and the AWS CLI to the sandbox, with their secrets."""
        return {
            "DATABASE_URL": self.postgres.url(DATABASE, DATABASE_USER),
            **self._keys,
            "AWS_REGION": self.s3.region,
            "AWS_DEFAULT_REGION": self.s3.region,
            "AWS_ENDPOINT_URL": self.s3.endpoint_url,
            "AWS_ENDPOINT_URL_S3": self.s3.endpoint_url,
            "AWS_SHARED_CREDENTIALS_FILE": str(self._credentials_file),
            "AWS_CONFIG_FILE": os.devnull,
            "PGSERVICEFILE": str(self._service_file),
            "NO_PROXY": "127.0.0.1,localhost",
            "REHOUSE_SHARED_BUCKET": SHARED_BUCKET,
            "REHOUSE_BUCKET_PREFIX": BUCKET_PREFIX,
            "REHOUSE_LOG_BUCKET": LOG_BUCKET,
            "REHOUSE_CORS_ORIGINS": CORS_ORIGIN,
            "REHOUSE_APPLICATION_PROFILE": "application",
        }

    def exports(self) -> str:
        """Return the environment as shell lines: an `unset` for conflicting variables, then an `export` for each variable.

        PostgreSQL's programs come last in the PATH, so an installed psql is preferred.
        """
        programs = f'export PATH="$PATH":{shlex.quote(str(self.postgres.programs))}'
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment().items()]
        return "\n".join([f"unset {' '.join(UNSET)}", programs, *lines])

    @property
    def _credentials_file(self) -> Path:
        return self.folder / "credentials"

    @property
    def _service_file(self) -> Path:
        return self.folder / "pg_service.conf"

    def _fill(self) -> None:
        self.postgres.role(DATABASE_USER)
        self.postgres.create_database(DATABASE, owner=DATABASE_USER)
        if self.is_empty:
            self.s3.root().create_bucket(Bucket=SHARED_BUCKET)
        else:
            self._report("Adding the sample data")
            url = self.postgres.url(DATABASE, DATABASE_USER)
            self.sample = lay_out(url, self.s3.root(), tenant_id=self._tenant_id, older_tool=self._older_tool)
        access_key, secret_key = self.s3.user("rehouse", self._policies)
        self._keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
        users = {"application": policy_documents(("application",), SCOPE), ADMINISTRATOR: EVERYTHING}
        keys = {name: self.s3.user(name, policies) for name, policies in users.items()}
        _write_private(self._credentials_file, "\n".join(_profile(name, *pair) for name, pair in keys.items()))
        _write_private(self._service_file, self._service())

    def _service(self) -> str:
        """Return the service with which people connect as the superuser with PostgreSQL's client programs."""
        place = {"host": LOOPBACK, "port": self.postgres.port, "dbname": SUPERUSER}
        settings = {**place, "user": SUPERUSER, "password": self.postgres.password}
        return f"[{ADMINISTRATOR}]\n" + "".join(f"{name}={value}\n" for name, value in settings.items())


def _profile(name: str, access_key: str, secret_key: str) -> str:
    return f"[{name}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n"


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
