"""The sections of rehouse.toml (the application's tables, the lifecycle rules, the prices, …), with their bounds."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from rehouse.core.pricing import PriceList

Dollars = Annotated[Decimal, Field(ge=0)]
Identifier = Annotated[str, Field(min_length=1, max_length=63)]
Created = Annotated[str, Field(min_length=1, max_length=64)]
"""The name of a column; with `+` before it, `rehouse init` may create the column."""
Optional = Annotated[str, Field(max_length=64)]
"""The name of a column, or empty if there is no such column."""


def _require_table(name: str) -> str:
    if name.count(".") < 2 or not all(name.split(".")):
        raise ValueError("a column is written schema.table.column")
    return name


ColumnName = Annotated[str, AfterValidator(_require_table)]


def split_at_commas(value: object) -> object:
    """Split a text at its commas; return any other value unchanged."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


class Section(BaseModel):
    """The base of all sections: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TenantsTable(Section):
    """The application's table of tenants: its name (`schema.table` if it is not in the search path) and columns."""

    table: str = "tenants"
    id: Identifier = "id"
    slug: Optional = "slug"
    name: Optional = "name"
    aws_bucket_name: Created = "aws_bucket_name"
    is_active: Optional = "is_active"
    max_storage_gb: Optional = "max_storage_gb"
    max_documents: Optional = "max_documents"


class DocumentsTable(Section):
    """The application's table of documents, and the columns that a migration uses."""

    table: str = "documents"
    id: Identifier = "id"
    tenant_id: Identifier = "tenant_id"
    original_name: Optional = "original_name"
    s3_bucket: Created = "s3_bucket"
    s3_key: Identifier = "s3_key"
    etag: Optional = "etag"
    size: Optional = "size"
    file_size: Optional = "file_size"
    uploaded_at: Optional = "uploaded_at"
    by_key: bool = False


class TableMapping(Section):
    """The application's tables and columns that rehouse reads and flips.

    The defaults fit a typical data room.
    """

    tenants: TenantsTable = TenantsTable()
    documents: DocumentsTable = DocumentsTable()


class LifecycleDays(Section):
    """The periods of the lifecycle rules of tenant buckets and of the log bucket (`log_days`), in days."""

    noncurrent_days: Annotated[int, Field(ge=1)] = 30
    infrequent_access_days: Annotated[int, Field(ge=30)] = 90
    temporary_days: Annotated[int, Field(ge=1)] = 1
    incomplete_upload_days: Annotated[int, Field(ge=1)] = 7
    log_days: Annotated[int, Field(ge=1)] = 365


class Prices(Section):
    """Prices in dollars: us-east-1, November 2026 (the pricing pages of S3 and CloudWatch).

    Set your region's.
    """

    copy_per_thousand: Dollars = Decimal("0.005")
    list_per_thousand: Dollars = Decimal("0.005")
    head_per_thousand: Dollars = Decimal("0.0004")
    storage_gb_month: Dollars = Decimal("0.023")
    egress_gb: Dollars = Decimal("0.09")
    metric_month: Dollars = Decimal("0.30")

    def price_list(self) -> PriceList:
        """Return these prices as estimates take them."""
        return PriceList(**self.model_dump())


class FinishLook(Section):
    """How `finish` searches the columns outside the mapping for keys before it removes anything."""

    ignore_columns: Annotated[tuple[ColumnName, ...], BeforeValidator(split_at_commas)] = ()
    table_seconds: Annotated[int, Field(ge=1)] = 60
    table_mb: Annotated[int, Field(ge=1)] = 256
