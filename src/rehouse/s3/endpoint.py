"""Where requests for a bucket go and how they are signed.

A botocore client decides it for both planes: it prepares one HeadBucket request per bucket and is stopped before it sends it.
The bulk plane uses the URL and the signature scope of this request. So rehouse never interprets partitions, FIPS, dual stack,
addressing styles, profiles or endpoint settings itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from botocore.exceptions import ParamValidationError
from botocore.httpsession import ProxyConfiguration
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
DEFAULT_PORTS = {"https": ":443", "http": ":80"}
_SCOPE = re.compile(r"Credential=[^/]*/\d{8}/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of `bucket`: `origin` is scheme and host, `path` the encoded start of every path.

    `region` and `service` are the scope of every signature. `proxy` may contain a password, so the repr omits it.
    """

    origin: str
    host: str
    path: str
    bucket: str
    region: str
    service: str = "s3"
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None

    @property
    def name(self) -> str:
        """The endpoint for messages, with its proxy but without the proxy's password."""
        return f"{self.origin} through the proxy {self.proxy.rpartition('@')[2]}" if self.proxy else self.origin


class Endpoints:
    """Find the Endpoint of a bucket.

    `client` serves only this purpose; its requests are never sent.
    """

    def __init__(self, client: S3Client, ca_bundle: str | None) -> None:
        self._client = client
        self._client.meta.events.register_first("before-send.s3", _stop)
        self.url = client.meta.endpoint_url
        self._proxies = ProxyConfiguration(get_environ_proxies(self.url))
        self._ca_bundle = ca_bundle
        self._known: dict[str, Endpoint] = {}

    def __call__(self, bucket: str) -> Endpoint:
        """Return the bucket's endpoint.

        Raises ValueError if the name cannot be a bucket's name, BotoCoreError if no endpoint can be resolved.
        """
        endpoint = self._known.get(bucket)
        if endpoint is None:
            endpoint = self._known[bucket] = self._resolve(check_bucket_name(bucket))
        return endpoint

    def _resolve(self, bucket: str) -> Endpoint:
        request = self._prepare_request(bucket)
        url = urlsplit(request.url)
        host = url.netloc.lower().removesuffix(DEFAULT_PORTS[url.scheme])
        origin = f"{url.scheme}://{host}"
        scope = _SCOPE.search(str(request.headers["Authorization"]))
        assert scope is not None  # clients sign every request with Signature Version 4
        proxy = self._proxies.proxy_url_for(origin)
        return Endpoint(origin, host, f"{url.path.rstrip('/')}/", bucket, scope[1], scope[2], proxy, self._ca_bundle)

    def _prepare_request(self, bucket: str) -> Any:
        try:
            self._client.head_bucket(Bucket=bucket)
        except _PreparedError as prepared:
            return prepared.request
        except ParamValidationError:
            raise ValueError(f"no bucket can be called {bucket!r}") from None
        raise AssertionError("the request is stopped before it is sent")


class _PreparedError(Exception):
    """Carries a prepared request out of botocore before it is sent."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


@lru_cache(maxsize=1024)
def check_bucket_name(bucket: str) -> str:
    """Return the bucket's name.

    Raises ValueError for a name that would address something else.
    """
    if not BUCKET.fullmatch(bucket):
        raise ValueError(f"no bucket can be called {bucket!r}")
    return bucket


def _stop(request: Any, **_: object) -> NoReturn:
    raise _PreparedError(request)
