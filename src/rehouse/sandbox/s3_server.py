"""An embedded S3 server (ministack): loopback only, with signatures and policies, everything in memory.

No policy limits its root key, so only this module uses it, for setup. Everyone else works as an IAM user.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config

from rehouse.sandbox.process import LOOPBACK, ServerProcess, bare_environment, package_folder, start_on_free_port

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

REGION = "us-east-1"


class S3Server:
    """One S3 server with its log in `folder`, as a context manager or with start() and stop()."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or 0
        self._wanted_port = port
        self.region = REGION
        self._secret = secrets.token_urlsafe(18)
        self._roots: dict[tuple[str, str], Any] = {}
        self._process = ServerProcess("the embedded S3 server", folder / "storage.log")

    @property
    def endpoint_url(self) -> str:
        """The URL of the server, `http://127.0.0.1:port`."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the server; 0 if it is not running."""
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises TryAgain, with the end of its log, if it fails.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        package_folder("ministack")
        start_on_free_port(self._wanted_port, self._start_on)

    def _start_on(self, port: int) -> None:
        self.port = port
        self._process.start(
            [sys.executable, "-I", "-m", "ministack"],
            environment=self._environment(),
            stop_signal=signal.SIGTERM,
            grace_seconds=1,  # it has nothing to save: everything is in memory
        )
        self._process.wait_until(self._is_answering)

    def stop(self) -> None:
        """Stop the server and wait until it has ended; all objects are lost."""
        self._process.stop()

    @overload
    def root(self, service: Literal["s3"] = "s3") -> S3Client: ...
    @overload
    def root(self, service: Literal["iam"]) -> IAMClient: ...
    @overload
    def root(self, service: Literal["sts"]) -> STSClient: ...
    def root(self, service: str = "s3") -> Any:
        """Return a client with root rights, for setup and independent checks.

        It is never for rehouse itself.
        """
        place = service, self.endpoint_url
        if place not in self._roots:
            self._roots[place] = self._client(service, "test", self._secret)
        return self._roots[place]

    def client_of(self, access_key: str, secret_key: str) -> S3Client:
        """Return an S3 client with a user's own keys."""
        client: S3Client = self._client("s3", access_key, secret_key)
        return client

    def user(self, name: str, policies: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
        """Create an IAM user with inline `policies` (name → document).

        Return (access key, secret key).
        """
        iam = self.root("iam")
        iam.create_user(UserName=name)
        for policy, document in policies.items():
            iam.put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _client(self, service: str, access_key: str, secret_key: str) -> Any:
        # A new session each time: threads must not share the default session, and the user's profiles do not apply.
        return boto3.session.Session().client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(
                signature_version="s3v4" if service == "s3" else None,
                s3={"addressing_style": "path"},
                max_pool_connections=64,
                proxies={},  # the server is local, so ignore proxies in the environment
                retries={"mode": "standard", "total_max_attempts": 3},
            ),
        )

    def _environment(self) -> dict[str, str]:
        return {
            **bare_environment(),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": LOOPBACK,
            "AUTH": "true",
            "AWS_SECRET_ACCESS_KEY": self._secret,
            "MINISTACK_REGION": self.region,
            "SERVICES": "s3,iam,sts,cloudwatch,kms",
            "LOG_LEVEL": "WARNING",
            "TMPDIR": str(self.folder),
            "DOCKER_HOST": f"unix://{self.folder}/no-docker",  # else ministack would look for its containers
        }

    def _is_answering(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self.endpoint_url}/_ministack/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
