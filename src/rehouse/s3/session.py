"""One session of boto3's core made from the Settings: the clients of the control plane, the credentials of the bulk plane.

The credential chain is boto3's own (environment, profiles, SSO, instance roles); it refreshes ahead of expiry. What boto3
lays over its core (resources, file transfers) is not used, and not loaded.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.session import Session as CoreSession

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused
from rehouse.s3.faults import translated
from rehouse.s3.parsing import StrictParsers

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

_UNSENDABLE = frozenset(map(chr, (*range(33), 127)))
"""Libraries below boto3 quote a header that they cannot send, and with it the secret."""


class Credentials(NamedTuple):
    """What signs a request; `token` only for temporary credentials. Never printed."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key[:4]}…)"


class Session:
    """The one place where clients are made; `profile` names other credentials than the chain's (the application's)."""

    def __init__(self, settings: Settings, profile: str | None = None) -> None:
        self.settings = settings
        self.region = settings.region
        self.endpoint_url = settings.endpoint_url
        self._profile = profile

    @cached_property
    def _core(self) -> CoreSession:
        made = CoreSession(profile=self._profile)
        made.set_config_variable("region", self.region)
        made.register_component("response_parser_factory", StrictParsers())
        try:
            made.get_scoped_config()
        except BotoCoreError as error:
            raise StorageRefused(
                f"the AWS profile cannot be used: {error}", hint="check AWS_PROFILE", code="Profile"
            ) from None
        return made

    @overload
    def client(self, service: Literal["s3"]) -> S3Client: ...
    @overload
    def client(self, service: Literal["sts"]) -> STSClient: ...
    @overload
    def client(self, service: Literal["iam"]) -> IAMClient: ...
    def client(self, service: str) -> Any:
        """Return a client of `service`, signing with version 4, retrying in the standard mode."""
        config = Config(
            signature_version="s3v4" if service == "s3" else None,
            retries={"mode": "standard", "total_max_attempts": 5 if service == "s3" else 2},
            max_pool_connections=32,
            connect_timeout=10,
            read_timeout=60,
            s3={"addressing_style": "path" if self.endpoint_url else "virtual"},
        )
        return self._core.create_client(service, endpoint_url=self.endpoint_url, config=config)

    def ca_bundle(self) -> str:
        """Return the file of trusted certificates: AWS_CA_BUNDLE or the profile's `ca_bundle`, else botocore's own."""
        configured = self._core.get_config_variable("ca_bundle")
        return str(configured or get_cert_path(True))

    def credentials(self) -> Credentials:
        """Return the credentials as they are now; raise StorageRefused if the chain finds none, or none that can be sent."""
        try:
            found = self._core.get_credentials()
            frozen = found and found.get_frozen_credentials()
        except BotoCoreError as error:
            raise translated(error, "the AWS credentials") from None
        if frozen is None:
            raise StorageRefused(
                "no AWS credentials were found",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
                code="NoCredentials",
            )
        if not _UNSENDABLE.isdisjoint(f"{frozen.access_key}{frozen.secret_key}{frozen.token}"):
            raise StorageRefused(
                "the AWS credentials hold a line break or another character that no header carries",
                hint="set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN again, without what stands behind them",
                code="InvalidCredentials",
            )
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)
