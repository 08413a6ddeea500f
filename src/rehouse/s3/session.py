"""One session of boto3's core made from the Settings: the clients of the control plane, the credentials of the bulk plane.

The credential chain is boto3's own (environment, profiles, SSO, instance roles); it refreshes ahead of expiry. What boto3
lays over its core (resources, file transfers) is not used, and not loaded.
"""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.session import Session as CoreSession

from rehouse.config import Settings
from rehouse.core.errors import ConfigurationError, StorageRefused
from rehouse.s3.endpoint import Endpoint, Endpoints
from rehouse.s3.faults import ENDPOINT_HINT, refused, shown, translated
from rehouse.s3.strict_parser import StrictParsers

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sts import STSClient

_URL = re.compile(r"https?://[^\s@?#]+")
_URL_HINT = (
    "{variable}, AWS_ENDPOINT_URL and endpoint_url in the AWS profile are written like https://s3.example.com:9000"
)
ASKING_REGION = "us-east-1"
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
        self._profile = profile

    @cached_property
    def region(self) -> str:
        """The setting's; unset, the AWS profile's, else one from which S3 tells the region of any bucket."""
        return self.settings.region or str(self._core.get_config_variable("region") or ASKING_REGION)

    @property
    def url(self) -> str:
        """The S3 endpoint's URL: the setting's, the AWS environment's or profile's, else Amazon's own."""
        return self._endpoints.url

    @property
    def is_aws(self) -> bool:
        """Whether S3 is Amazon's own, in any partition, through a private link or not."""
        return self._is_amazons(self.url)

    @property
    def uses_tls(self) -> bool:
        """Whether S3 is spoken to over TLS."""
        return self.url.startswith("https:")

    def endpoint(self, bucket: str) -> Endpoint:
        """Return where requests for the bucket go; raise ValueError if that can be no bucket's name."""
        try:
            return self._endpoints(bucket)
        except BotoCoreError as error:
            raise _unusable("s3", shown(str(error)), ENDPOINT_HINT) from None

    def offers(self, service: Literal["sts", "iam", "kms", "s3control"]) -> bool:
        """Whether there is such a service here: another server's keys are never sent to Amazon's other services."""
        is_named = bool(os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"))
        return self.is_aws or is_named or not self._is_amazons(self.client(service).meta.endpoint_url)

    def with_profile(self, profile: str | None) -> Session:
        """Return a session with other credentials at the same endpoint, though only our profile may name it."""
        elsewhere = self.settings.endpoint_url is None and not self.is_aws
        settings = self.settings.model_copy(update={"endpoint_url": self.url}) if elsewhere else self.settings
        return Session(settings, profile)

    @cached_property
    def _core(self) -> CoreSession:
        made = CoreSession(profile=self._profile)
        if self.settings.region:
            made.set_config_variable("region", self.settings.region)
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
    @overload
    def client(self, service: Literal["kms", "service-quotas", "s3control"], region: str | None = None) -> Any: ...
    def client(self, service: str, region: str | None = None) -> Any:
        """Return a client of `service`, signing with version 4, retrying in the standard mode."""
        return self._client(service, region=region)

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

    @cached_property
    def _endpoints(self) -> Endpoints:
        # No real key is needed to sign what is never sent: an endpoint is the same whoever asks.
        client: S3Client = self._client("s3", {"aws_access_key_id": "none", "aws_secret_access_key": "none"})
        ca_bundle = str(
            self._core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)
        )
        if not Path(ca_bundle).exists():
            raise refused("CertificateError", "it does not exist", f"the file of trusted certificates {ca_bundle}")
        return Endpoints(client, ca_bundle)

    @cached_property
    def _amazons(self) -> tuple[str, ...]:
        """The domains of every partition."""
        outputs = [each["outputs"] for each in self._core.get_data("partitions")["partitions"]]
        return tuple({f".{told[kind]}" for told in outputs for kind in ("dnsSuffix", "dualStackDnsSuffix")})

    def _is_amazons(self, url: str) -> bool:
        return (urlsplit(url).hostname or "").endswith(self._amazons)

    def _client(self, service: str, keys: dict[str, Any] | None = None, *, region: str | None = None) -> Any:
        is_s3 = service == "s3"
        config = Config(
            signature_version="s3v4" if is_s3 else None,
            retries={"mode": "standard", "total_max_attempts": 5 if is_s3 else 2},
            max_pool_connections=32,
            connect_timeout=10,
            read_timeout=60,
            s3={"use_accelerate_endpoint": False},  # new buckets have none, and copies gain nothing
        )
        url = self.settings.endpoint_url if is_s3 else None
        try:
            client = self._core.create_client(
                service, region or self.region, endpoint_url=url, config=config, **(keys or {})
            )
        except BotoCoreError as error:
            raise _unusable(service, shown(str(error)), ENDPOINT_HINT) from None
        except AttributeError:  # botocore's own, of a section with a value and no settings below it
            raise _unusable(service, "a section of the AWS profile is not one", ENDPOINT_HINT) from None
        except ValueError:
            raise _unusable(service, "it is not a URL", _URL_HINT) from None
        if not _URL.fullmatch(client.meta.endpoint_url):
            raise _unusable(service, "it is not a URL without password and query", _URL_HINT)
        if service == "s3control" and not self._is_amazons(client.meta.endpoint_url):
            client.meta.events.register("before-sign.s3-control", _without_account)
        return client


def _without_account(request: Any, **_: object) -> None:
    """Address another server by its own host: only Amazon's has one for each account."""
    request.url = re.sub(r"//\d{12}\.", "//", request.url, count=1)


def _unusable(service: str, reason: str, hint: str) -> ConfigurationError:
    """Return the refusal of an endpoint, which is not repeated: it may hold a password."""
    variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
    return ConfigurationError(
        f"the endpoint of {service} cannot be used: {reason}", hint=hint.format(variable=variable)
    )
