"""A botocore session made from the Settings: clients for the control plane, credentials for the bulk plane.

The credential chain is boto3's own (environment, profiles, SSO, instance roles) and refreshes before expiry. The upper parts
of boto3 (resources, file transfers) are not used and not loaded.
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
from rehouse.s3.faults import ENDPOINT_HINT, refused_error, show_on_one_line, translate_error
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
"""Characters that no credential may contain: libraries below boto3 would quote the header, with the secret, in an error."""


class Credentials(NamedTuple):
    """The credentials that sign a request.

    `token` only for temporary ones; `expires_at`, in seconds since the epoch, only where boto3's chain knows it. The repr shows
    no secret.
    """

    access_key: str
    secret_key: str
    token: str | None
    expires_at: float | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.access_key[:4]}…)"


class Session:
    """Creates all clients.

    `profile` selects the credentials of a profile (the application's) instead of the chain's.
    """

    def __init__(self, settings: Settings, profile: str | None = None) -> None:
        self.settings = settings
        self._profile = profile

    @cached_property
    def region(self) -> str:
        """The region from the setting, else from the AWS profile, else one in which S3 tells any bucket's region."""
        return self.settings.region or str(self._core.get_config_variable("region") or ASKING_REGION)

    @property
    def url(self) -> str:
        """The URL of the S3 endpoint: from the setting, the AWS environment or profile, else Amazon's own."""
        return self._endpoints.url

    @property
    def is_aws(self) -> bool:
        """Whether the endpoint is Amazon S3, in any partition, with or without PrivateLink."""
        return self._is_amazons(self.url)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection to S3 uses TLS."""
        return self.url.startswith("https:")

    def endpoint(self, bucket: str) -> Endpoint:
        """Return the bucket's endpoint.

        Raises ValueError if the name cannot be a bucket's name.
        """
        try:
            return self._endpoints(bucket)
        except BotoCoreError as error:
            raise _unusable_endpoint_error("s3", show_on_one_line(str(error)), ENDPOINT_HINT) from None

    def offers(self, service: Literal["sts", "iam", "kms", "s3control"]) -> bool:
        """Return whether the service may be used.

        Keys of another S3 server are never sent to Amazon's services.
        """
        is_named = bool(os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}"))
        return self.is_aws or is_named or not self._is_amazons(self.client(service).meta.endpoint_url)

    def fresh(self) -> Session:
        """Return an equal session that shares no lock and no connection with this one, for a child after a fork."""
        return Session(self.settings, self._profile)

    def acting_as(self, credentials: Credentials) -> Session:
        """Return a session with these credentials and the same endpoint."""
        session = self.with_profile(self._profile)
        session._core.set_credentials(credentials.access_key, credentials.secret_key, credentials.token)
        return session

    def with_profile(self, profile: str | None) -> Session:
        """Return a session with other credentials and the same endpoint, even if only our own profile names it."""
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
        """Return a client of `service` that signs with Signature Version 4 and retries in the standard mode."""
        return self._client(service, region=region)

    def credentials(self) -> Credentials:
        """Return the present credentials.

        Raises StorageRefused if the chain finds none, or if they contain characters that no header carries.
        """
        try:
            frozen, expires_at = _freeze(self._core.get_credentials())
        except BotoCoreError as error:
            raise translate_error(error, "the AWS credentials") from None
        if frozen is None:
            raise StorageRefused(
                "no AWS credentials were found",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
                code="NoCredentials",
            )
        if not _UNSENDABLE.isdisjoint(f"{frozen.access_key}{frozen.secret_key}{frozen.token}"):
            raise StorageRefused(
                "the AWS credentials hold a line break or another character that no header carries",
                hint="set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN again, without line breaks and blanks",
                code="InvalidCredentials",
            )
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token, expires_at)

    @cached_property
    def _endpoints(self) -> Endpoints:
        # These requests are never sent, and the endpoint does not depend on the key, so no real key is needed.
        client: S3Client = self._client("s3", {"aws_access_key_id": "none", "aws_secret_access_key": "none"})
        ca_bundle = str(
            self._core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE") or get_cert_path(True)
        )
        if not Path(ca_bundle).exists():
            raise refused_error(
                "CertificateError", "it does not exist", f"the file of trusted certificates {ca_bundle}"
            )
        return Endpoints(client, ca_bundle)

    @cached_property
    def _amazons(self) -> tuple[str, ...]:
        """Amazon's domains, of every partition."""
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
            s3={"use_accelerate_endpoint": False},  # new buckets do not have it, and copies would not be faster
        )
        url = self.settings.endpoint_url if is_s3 else None
        try:
            client = self._core.create_client(
                service, region or self.region, endpoint_url=url, config=config, **(keys or {})
            )
        except BotoCoreError as error:
            raise _unusable_endpoint_error(service, show_on_one_line(str(error)), ENDPOINT_HINT) from None
        except AttributeError:  # botocore raises it for a section that has a plain value
            raise _unusable_endpoint_error(
                service, "a value of the AWS profile must be a section", ENDPOINT_HINT
            ) from None
        except ValueError:
            raise _unusable_endpoint_error(service, "it is not a URL", _URL_HINT) from None
        if not _URL.fullmatch(client.meta.endpoint_url):
            raise _unusable_endpoint_error(service, "it is not a URL without password and query", _URL_HINT)
        if service == "s3control" and not self._is_amazons(client.meta.endpoint_url):
            client.meta.events.register("before-sign.s3-control", _remove_account)
        return client


def _remove_account(request: Any, **_: object) -> None:
    """Do not put the account into the host name: only Amazon has such hosts."""
    request.url = re.sub(r"//\d{12}\.", "//", request.url, count=1)


def _freeze(found: Any) -> tuple[Any, float | None]:
    """Return the chain's present credentials and when they expire (None: never, or nobody knows).

    Another thread may renew them meanwhile: an expiry is never paired with keys that it does not belong to.
    """
    while True:
        expires_at = getattr(found, "_expiry_time", None)
        frozen = found and found.get_frozen_credentials()
        if frozen is None or (expires_at is None and getattr(found, "_expiry_time", None) is None):
            return frozen, None
        if found._expiry_time == expires_at and found.access_key == frozen.access_key:
            return frozen, expires_at.timestamp()


def _unusable_endpoint_error(service: str, reason: str, hint: str) -> ConfigurationError:
    """Return the error for an unusable endpoint URL, without the URL, which may contain a password."""
    variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
    return ConfigurationError(
        f"the endpoint of {service} cannot be used: {reason}", hint=hint.format(variable=variable)
    )
