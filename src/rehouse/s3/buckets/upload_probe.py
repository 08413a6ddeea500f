"""Would an upload into a bucket be taken? Asked by one that cannot succeed: its condition names an object that is not there.

Whoever may write is told 404 or 412, whoever may not 403. An endpoint that ignores the condition keeps an empty object below
`temp/`, where the lifecycle rules remove it.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.errors import StorageUnavailable
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import ACCESS_DENIED, translated

KEY = "temp/rehouse-upload-trial"
NO_UPLOAD_HINT = (
    "on Ceph set REHOUSE_S3_DIALECT=ceph, for it misreads some settings; if it is a right that is missing, "
    "`rehouse iam-policy` prints it"
)


def takes_uploads(control: Control, bucket: str) -> bool:
    """Return whether the bucket takes our uploads as it is configured now. Raises TryAgain errors where S3 does not answer."""
    try:
        control.client.put_object(Bucket=bucket, Key=KEY, Body=b"", IfMatch='"rehouse"', **control.owner())
    except ClientError as error:
        failure = translated(error, bucket)
        if isinstance(failure, StorageUnavailable):
            raise failure from None
        return str(error.response.get("Error", {}).get("Code")) not in {ACCESS_DENIED, "403"}
    except BotoCoreError as error:
        raise translated(error, bucket) from None
    return True
