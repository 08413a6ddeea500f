"""The application's rules: under its own names, from the settings alone."""

from __future__ import annotations

from rehouse.config import Settings
from rehouse.config.sections import DocumentsTable, TableMapping, TenantsTable
from rehouse.operations.rules import rules

MAPPED = Settings(
    shared_bucket=("all-tenants", "older"),
    grace_days=14,
    mapping=TableMapping(
        tenants=TenantsTable(table="app.organisations", aws_bucket_name="+bucket"),
        documents=DocumentsTable(table="app.files", s3_bucket="+blob_bucket", s3_key="blob_key"),
    ),
)


def test_the_rules_have_the_mapped_names() -> None:
    made = rules(MAPPED)
    told = " ".join(made.rules)
    for name in ("app.organisations.bucket", "app.files", "blob_bucket", "blob_key", "all-tenants", "14 days"):
        assert name in told
    for other in ("aws_bucket_name", "s3_bucket", "s3_key", "documents", "+", "older", "7 days"):
        assert other not in told
    assert made.columns == {
        "tenants.aws_bucket_name": "app.organisations.bucket",
        "documents.s3_bucket": "app.files.blob_bucket",
        "documents.s3_key": "app.files.blob_key",
    }
    assert (made.shared_bucket, made.grace_days) == ("all-tenants", 14)


def test_without_any_setting_the_usual_names_are_told() -> None:
    made = rules(Settings())
    assert "Read s3_bucket and s3_key from the row in documents" in made.rules[0]
    assert "the bucket that tenants.aws_bucket_name names, or into the first shared bucket" in made.rules[1]
    assert made.shared_bucket is None
