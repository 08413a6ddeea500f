"""What requests hold and what answers hold beside the types of `runtime/values.py`. pydantic checks each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

from rehouse.core.upload_requests import UploadRequest

Id = Annotated[str, Field(min_length=1, max_length=1024)]


class DeclaredChecksum(BaseModel):
    """The checksum of the whole file, its value in base64."""

    model_config = ConfigDict(extra="forbid")

    algorithm: str
    value: str


class NewUpload(BaseModel):
    """What a client declares before it uploads."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    document_id: Id
    name: str
    size: StrictInt
    content_type: str = ""
    checksum: DeclaredChecksum | None = None
    as_form: StrictBool = False


class RequestToSign(BaseModel):
    """A request to S3 as the option `signRequest` of Uppy's S3 plugin gets it."""

    method: Literal["GET", "PUT", "POST", "DELETE"]
    key: str
    upload_id: str | None = Field(default=None, alias="uploadId")
    part_number: StrictInt | None = Field(default=None, alias="partNumber")
    content_type: str | None = Field(default=None, alias="contentType")

    def to_request(self) -> UploadRequest:
        """Return the request for the storage."""
        return UploadRequest(self.method, self.key, self.upload_id, self.part_number, self.content_type)


class SignedAnswer(BaseModel):
    """What `signRequest` returns. `url` may be relative: to the URL that was asked."""

    url: str
    key: str
    headers: Mapping[str, str] = {}


class DownloadUrl(BaseModel):
    """A presigned URL of a download."""

    url: str
