"""Test whether a bucket accepts our uploads, with an upload whose condition names an object that does not exist.

If we may write, S3 answers 404 or 412, else 403. An endpoint that ignores the condition stores an empty object below
`temp/`, which the lifecycle rules remove.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.errors import StorageUnavailable
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import ACCESS_DENIED, translate_error

KEY = "temp/rehouse-upload-trial"
NO_UPLOAD_HINT = (
    "on Ceph, which misreads some settings, set REHOUSE_S3_DIALECT=ceph; if a right is missing, "
    "`rehouse iam-policy` prints it"
)


def takes_uploads(control: Control, bucket: str) -> bool:
    """Return whether the bucket accepts our uploads in its present configuration.

    Raises TryAgain if S3 does not answer.
    """
    try:
        control.client.put_object(Bucket=bucket, Key=KEY, Body=b"", IfMatch='"rehouse"', **control.owner())
    except ClientError as error:
        failure = translate_error(error, bucket)
        if isinstance(failure, StorageUnavailable):
            raise failure from None
        return str(error.response.get("Error", {}).get("Code")) not in {ACCESS_DENIED, "403"}
    except BotoCoreError as error:
        raise translate_error(error, bucket) from None
    return True
