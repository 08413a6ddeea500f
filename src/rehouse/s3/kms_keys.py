"""Resolve a KMS alias to the ARN of its key, because bucket policies compare the ARNs of keys.

KMS has its own endpoint (AWS_ENDPOINT_URL_KMS). Requests to KMS never go to the S3 endpoint.
"""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.kms_keys import kms_key
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import refused_error, translate_error

ALIAS_HINT = (
    "the roles provision and migrate of `rehouse iam-policy` may ask (kms:DescribeKey);"
    " or set REHOUSE_ENCRYPTION to the key's ARN"
)


def key_arn(control: Control, written: str) -> str | None:
    """Return the ARN of the key that a setting names.

    None for SSE-S3, and for an alias if there is no KMS. Raises StorageRefused if the alias does not exist or the lookup is
    denied.
    """
    if written == "AES256":
        return None
    key = kms_key(written, region=control.session.region, account=control.identity().account)
    if key.alias is None:
        return None if ":*:" in key.arn else key.arn
    if not control.session.offers("kms"):
        return None
    return control.once(_look_up_alias, written)


def _look_up_alias(control: Control, alias: str) -> str:
    try:
        return str(control.session.client("kms").describe_key(KeyId=alias)["KeyMetadata"]["Arn"])
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        if code in {"AccessDeniedException", "AccessDenied", "NotFoundException"}:
            why = "there is no such alias" if code == "NotFoundException" else "it may not be looked up"
            raised = refused_error(code, why, f"the KMS key {alias}")
            raised.hint = "correct REHOUSE_ENCRYPTION" if code == "NotFoundException" else ALIAS_HINT
            raise raised from None
        raise translate_error(error, f"the KMS key {alias}") from None
    except BotoCoreError as error:
        raise translate_error(error, f"the KMS key {alias}") from None
