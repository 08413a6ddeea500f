"""The control plane: find out who owns a bucket, read its settings, create it, configure it.

It transfers no objects. If the account is known, every request that names a bucket carries the expected owner. So rehouse never
reads, writes or configures a bucket with the right name in another account. Requests are counted by operation, including
retries.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.bucket.documents import Document, bucket_arn
from rehouse.core.bucket.spec import SETTINGS, SettingState
from rehouse.core.errors import RehouseError, StorageRefused
from rehouse.s3.buckets.settings import CALLS, classify_code, tag_set
from rehouse.s3.content_md5 import ContentMd5
from rehouse.s3.faults import ACCESS_DENIED, DENIED, NO_SUCH_BUCKET, NOT_OFFERED, show_on_one_line, translate_error
from rehouse.s3.new_buckets import WAITING, NewBuckets
from rehouse.s3.session import Session

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Made = TypeVar("Made")
Whose = Literal["ours", "somebody_else", "absent", "unknown"]

BUCKETS_A_PAGE = 1000
WAITS = "rehouse_waits"
BUCKETS = "rehouse_buckets"
"""Keys in botocore's context of a request: how often rehouse waited for it, and the buckets that it names."""

TAGS_NOT_OFFERED = NOT_OFFERED | {"MalformedXML", "InvalidRequest", "InvalidArgument"}
CREDENTIAL_CODES = frozenset(
    {"InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidAccessKeyId", "RequestExpired"}
)


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """The identity of our credentials; `account` is None if the endpoint has no STS."""

    account: str | None
    arn: str | None = None


@dataclass(frozen=True, slots=True)
class BucketPresence:
    """Whether a bucket exists and who owns it.

    `region`: the bucket's region, if S3 returned it. `code`: S3's error code, if the owner is unknown.
    """

    whose: Whose
    region: str | None = None
    code: str | None = None


class Control:
    """Buckets and their configuration through boto3; thread-safe.

    `sleep` may raise to end a wait. If S3 does not know one of the `new_buckets` yet, every request of `client` is retried.
    """

    def __init__(
        self,
        session: Session,
        *,
        sleep: Callable[[float], object] = time.sleep,
        new_buckets: NewBuckets | None = None,
    ) -> None:
        self.session = session
        self.requests: Counter[str] = Counter()
        self.sleep = sleep
        self.new_buckets = new_buckets or NewBuckets()
        self._counting = threading.Lock()
        self.not_offered: set[str] = set()
        self._once: dict[tuple[object, ...], Any] = {}
        self._making = threading.RLock()

    @property
    def client(self) -> S3Client:
        """The S3 client; its requests are counted."""
        return self.once(Control._counted_client)

    def once(self, make: Callable[..., Made], *about: str, **beside: Any) -> Made:
        """Return `make(control, *about, **beside)`, computed once per function and `about` and then cached.

        An exception is not cached.
        """
        key: tuple[object, ...] = (make, *about)
        with self._making:
            if key not in self._once:
                self._once[key] = make(self, *about, **beside)
            made: Made = self._once[key]
            return made

    def identity(self) -> CallerIdentity:
        """Return the identity of our credentials, cached.

        Raises StorageRefused if the credentials are invalid.
        """
        return self.once(Control._ask_identity)

    def head(self, bucket: str) -> BucketPresence:
        """Return whether the bucket exists and is ours.

        Without STS, the buckets that ListBuckets shows are ours.
        """
        try:
            reply = self.client.head_bucket(Bucket=bucket, **self.owner())
        except ClientError as error:
            return self._explain_refusal(bucket, error)
        except BotoCoreError as error:
            raise translate_error(error, bucket) from None
        region = reply.get("BucketRegion")
        is_ours = self.identity().account or self.new_buckets.is_made(bucket)
        return BucketPresence("ours", region) if is_ours else self._find_owner_by_listing(bucket, region)

    def create(self, bucket: str, *, tags: Mapping[str, str] | None = None) -> bool:
        """Create the bucket in the session's region.

        Return whether it was created with the tags. Not every endpoint accepts tags at creation. A bucket that is already ours
        is not an error. Raises StorageRefused (BucketAlreadyExists) if another account owns it.
        """
        with_tags = bool(tags) and self._try_create(bucket, tags)
        if not with_tags:
            self._try_create(bucket, None)
        self.new_buckets.add(bucket)
        return with_tags

    def wait(self, bucket: str, seconds: float, text: str) -> None:
        """Wait, and show `text` as the reason."""
        if seconds:
            self.new_buckets.tell(bucket, text)
            self.sleep(seconds)

    def read(self, bucket: str, settings: Iterable[str] = SETTINGS) -> dict[str, SettingState]:
        """Return the state of each setting of the bucket.

        Raises StorageRefused if the bucket does not exist.
        """
        return {setting: self.read_setting(bucket, setting) for setting in settings}

    def read_setting(self, bucket: str, setting: str) -> SettingState:
        """Return the state of one setting: set, absent, not offered here, or not readable with our rights."""
        calls = CALLS[setting]
        try:
            reply = getattr(self.client, calls.get)(Bucket=bucket, **calls.get_arguments, **self.owner())
        except ClientError as error:
            found = classify_code(calls, _code(error))
            if found is None:
                raise translate_error(error, f"{bucket}, {setting}") from None
            return found
        except BotoCoreError as error:
            raise translate_error(error, f"{bucket}, {setting}") from None
        return calls.found(reply)

    def apply(self, bucket: str, setting: str, document: Document) -> bool:
        """Write one setting; return False if the endpoint does not offer it."""
        calls = CALLS[setting]
        try:
            getattr(self.client, calls.put)(Bucket=bucket, **calls.arguments(document), **self.owner())
        except ClientError as error:
            if setting == "tags" and self._tag_resource(bucket, document):
                return True
            if self._is_not_offered(bucket, setting, _code(error)):
                return False
            raise translate_error(error, f"{bucket}, {setting}") from None
        except BotoCoreError as error:
            raise translate_error(error, f"{bucket}, {setting}") from None
        return True

    def _tag_resource(self, bucket: str, tags: Document) -> bool:
        """Set the tags through S3 Control and return whether that worked.

        ABAC on a bucket requires this way.
        """
        account = self.identity().account
        if account is None or not self.session.offers("s3control"):
            return False
        client = self.once(Control._s3_control_client)
        ours = tag_set({key: value for key, value in tags.items() if not key.startswith("aws:")})
        try:
            client.tag_resource(AccountId=account, ResourceArn=bucket_arn(bucket, self.session.region), Tags=ours)
        except (ClientError, BotoCoreError):
            return False
        with self._counting:
            self.requests["TagResource"] += 1
        return True

    def remove_policy(self, bucket: str) -> None:
        """Delete the bucket's policy, if it has one."""
        try:
            self.client.delete_bucket_policy(Bucket=bucket, **self.owner())
        except (ClientError, BotoCoreError) as error:
            raise translate_error(error, f"{bucket}, policy") from None

    def buckets(self, prefix: str = "") -> Iterator[str]:
        """Yield the names of our buckets that begin with `prefix`. Raises boto3's errors.

        It always asks page by page, because S3 refuses to list more than 10,000 buckets at once. A server that supports neither
        pages nor the prefix returns all buckets, which is fine.
        """
        narrowed: Any = {"Prefix": prefix} if prefix else {}
        pages = self.client.get_paginator("list_buckets").paginate(
            **narrowed, PaginationConfig={"PageSize": BUCKETS_A_PAGE}
        )
        return (each["Name"] for page in pages for each in page.get("Buckets", []) if each["Name"].startswith(prefix))

    def owner(self) -> Any:
        """Return the arguments that make S3 refuse buckets of other accounts.

        None if our account is unknown.
        """
        account = self.identity().account
        return {"ExpectedBucketOwner": account} if account else {}

    def _ask_identity(self) -> CallerIdentity:
        if not self.session.offers("sts"):
            return CallerIdentity(None)
        try:
            reply = self.session.client("sts").get_caller_identity()
        except ClientError as error:
            if _code(error) in CREDENTIAL_CODES:
                raise translate_error(error, "the AWS credentials") from None
            return CallerIdentity(None)
        except BotoCoreError as error:
            translation = translate_error(error, "STS")
            if self.session.is_aws or _is_unreachable(translation):
                raise translation from None
            return CallerIdentity(None)
        return CallerIdentity(reply.get("Account"), reply.get("Arn"))

    def _explain_refusal(self, bucket: str, error: ClientError) -> BucketPresence:
        code = _code(error)
        region = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if code in {"404", NO_SUCH_BUCKET}:
            return BucketPresence("absent")
        if code in {"403", ACCESS_DENIED}:
            return self._find_owner_by_listing(bucket, region)
        if code in {"301", "PermanentRedirect"} and region:
            return self._find_owner_by_listing(bucket, region)
        raise translate_error(self._reason(bucket) or error, bucket) from None

    def _reason(self, bucket: str) -> ClientError | None:
        """Return why S3 refuses the bucket, from a GET, because the reply to a HEAD has no body with the reason."""
        try:
            self.client.get_bucket_location(Bucket=bucket, **self.owner())
        except ClientError as error:
            return error
        except BotoCoreError as error:
            raise translate_error(error, bucket) from None
        return None

    def _find_owner_by_listing(self, bucket: str, region: str | None) -> BucketPresence:
        """Return the owner of an existing bucket: it is ours if ListBuckets shows it."""
        try:
            ours = bucket in self.buckets(bucket)
        except ClientError as error:
            if _code(error) not in DENIED | NOT_OFFERED:
                raise translate_error(error, bucket) from None
            return BucketPresence("unknown", region, _code(error))
        return BucketPresence("ours" if ours else "somebody_else", region)

    def _creation(self, bucket: str, tags: Mapping[str, str] | None) -> Any:
        configuration: dict[str, Any] = {"Tags": tag_set(tags)} if tags else {}
        if self.session.region != "us-east-1":
            configuration["LocationConstraint"] = self.session.region
        arguments: dict[str, Any] = {"Bucket": bucket}
        if configuration:
            arguments["CreateBucketConfiguration"] = configuration
        if bucket.endswith(f"-{self.identity().account}-{self.session.region}-an"):  # S3 refuses it for other names
            arguments["BucketNamespace"] = "account-regional"
        return arguments

    def _try_create(self, bucket: str, tags: Mapping[str, str] | None) -> bool:
        """Create the bucket.

        Return False if it is already ours or if tags are not offered at creation.
        """
        try:
            self.client.create_bucket(**self._creation(bucket, tags))
        except BotoCoreError as error:
            raise translate_error(error, bucket) from None
        except ClientError as error:
            code = _code(error)
            if tags and code in TAGS_NOT_OFFERED:
                return False
            # Some endpoints return BucketAlreadyExists for the caller's own bucket too.
            if code in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                if code == "BucketAlreadyExists" and self._find_owner_by_listing(bucket, None).whose != "ours":
                    raise foreign_bucket_error(bucket) from None
                return False
            raise translate_error(error, bucket) from None
        return True

    def _is_not_offered(self, bucket: str, setting: str, code: str) -> bool:
        if code in NOT_OFFERED:
            return True
        if code in {ACCESS_DENIED, NO_SUCH_BUCKET}:
            return False
        try:
            return self.read_setting(bucket, setting).state == "not_offered"
        except RehouseError:
            return False

    def _s3_control_client(self) -> Any:
        return self.session.client("s3control")

    def _counted_client(self) -> S3Client:
        client = self.session.client("s3")
        client.meta.events.register("before-send.s3", self._count)
        ContentMd5().watch(client)
        client.meta.events.register("before-parameter-build.s3", _note_buckets)
        client.meta.events.register("needs-retry.s3", self._wait_for_new_bucket)  # type: ignore[arg-type]  # returns a delay
        return client

    def _wait_for_new_bucket(
        self, response: Any, operation: Any, request_dict: dict[str, Any], **_: object
    ) -> float | None:
        """Wait if the answer only means that a bucket is new or busy.

        Returning 0 makes botocore send the request again.
        """
        code = str(response[1].get("Error", {}).get("Code", "")) if response else ""
        context = request_dict["context"]
        buckets, waits = context.get(BUCKETS, ()), context.get(WAITS, 0)
        if operation.name == "HeadBucket" and code == "404":
            code, buckets = NO_SUCH_BUCKET, [each for each in buckets if self.new_buckets.is_made(each)]
        seconds = self.new_buckets.delay_seconds(code, buckets, waits)
        if seconds is None:
            return None
        context[WAITS] = waits + 1
        self.wait(buckets[0] if buckets else "S3", seconds, WAITING[code])
        return 0.0

    def _count(self, event_name: str, request: Any, **_: object) -> None:
        with self._counting:
            self.requests[event_name.rpartition(".")[2]] += 1
            log.debug("%s: %s %s", event_name.rpartition(".")[2], request.method, request.url)


def foreign_bucket_error(bucket: str) -> StorageRefused:
    """Return the error for a bucket that another account owns."""
    return StorageRefused(
        f"the bucket {show_on_one_line(bucket)}: BucketAlreadyExists: it belongs to another AWS account and is not touched",
        hint="use credentials of the account that owns it, or another bucket",
        code="BucketAlreadyExists",
        subject=show_on_one_line(bucket),
    )


def _note_buckets(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
    logs = params.get("BucketLoggingStatus", {}).get("LoggingEnabled", {}).get("TargetBucket")
    context[BUCKETS] = [bucket for bucket in (params.get("Bucket"), logs) if bucket]


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _is_unreachable(error: RehouseError) -> bool:
    return getattr(error, "code", "") in {"Unreachable", "CertificateError", "ConnectionLost", "NoCredentialsError"}
