"""A row that PostgreSQL does not let us update is one document's error: the others are flipped, and it is told with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.data_room import Room

from rehouse.core.lifecycle import Phase, Status
from rehouse.core.row_refusals import ROW_REFUSED
from rehouse.operations import finish as finishing
from rehouse.operations import rollback as rolling_back
from rehouse.operations.status import errors
from rehouse.operations.steps.run import Order

OTHERS = ("a", "b", "x", "z")
AT_ONCE = timedelta(0)


def guard(room: Room, body: str, timing: str = "BEFORE UPDATE", kind: str = "TRIGGER") -> None:
    """Let a trigger do something about every update of the document `odd`."""
    room.sql(
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$BEGIN IF OLD.id = 'odd' THEN {body} END IF; RETURN NEW; END$$"
    )
    deferred = "DEFERRABLE INITIALLY DEFERRED" if kind == "CONSTRAINT TRIGGER" else ""
    room.sql(f"CREATE {kind} guard {timing} ON documents {deferred} FOR EACH ROW EXECUTE FUNCTION guard()")


def too_large(room: Room) -> None:
    room.root.put_object(Bucket=room.shared, Key="k/odd", Body=b"o" * 40_000)
    room.sql("ALTER TABLE documents ALTER file_size TYPE smallint")


def too_long(room: Room) -> None:
    up = room.root.create_multipart_upload(Bucket=room.shared, Key="k/odd")["UploadId"]
    part = {"Bucket": room.shared, "Key": "k/odd", "UploadId": up, "PartNumber": 1}
    etag = room.root.upload_part(**part, Body=b"odd")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    room.root.complete_multipart_upload(Bucket=room.shared, Key="k/odd", UploadId=up, MultipartUpload=parts)
    room.sql("ALTER TABLE documents ALTER etag TYPE varchar(33)")


def checked(room: Room) -> None:
    room.sql("ALTER TABLE documents ADD CONSTRAINT no_odd_ones CHECK (id <> 'odd') NOT VALID")


def unique(room: Room) -> None:
    room.root.put_object(
        Bucket=room.shared, Key="k/odd", Body=b"a"
    )  # of two that exclude each other the first is flipped
    room.sql("CREATE UNIQUE INDEX one_etag ON documents (tenant_id, etag)")


def referenced(room: Room) -> None:
    room.sql("ALTER TABLE documents ADD UNIQUE (s3_key)")
    room.sql("CREATE TABLE shares (s3_key text REFERENCES documents (s3_key))")
    room.sql("INSERT INTO shares VALUES ('k/odd')")


REASONS: dict[str, tuple[Callable[[Room], None], str]] = {
    "out of range": (too_large, "22003"),
    "too long": (too_long, "22001"),
    "check": (checked, "constraint no_odd_ones"),
    "unique": (unique, "constraint one_etag), which the row of document a has already"),
    "foreign key": (referenced, "23503"),
    "trigger": (lambda room: guard(room, "RAISE EXCEPTION 'on hold';"), "on hold (SQLSTATE P0001)"),
    "fault of a trigger": (lambda room: guard(room, "PERFORM 1 FROM nowhere;"), "SQLSTATE 42P01"),
    "deferred": (lambda room: guard(room, "RAISE EXCEPTION 'late';", "AFTER UPDATE", "CONSTRAINT TRIGGER"), "late"),
    "left out": (lambda room: guard(room, "RETURN NULL;"), "left the row as it was"),
    "put right": (lambda room: guard(room, "NEW.s3_key := OLD.s3_key;"), "left the row as it was"),
    "put back": (
        lambda room: guard(
            room,
            "IF pg_trigger_depth() = 1 THEN UPDATE documents SET s3_key = OLD.s3_key WHERE id = 'odd'; END IF;",
            "AFTER UPDATE",
        ),
        "left the row as it was",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_one_row_that_refuses_does_not_hold_up_the_others(room: Room, name: str) -> None:
    room.documents(*OTHERS, "odd")
    refuse, told = REASONS[name]
    refuse(room)
    report = room.migrate()
    assert [(each.document_id, each.code, each.state) for each in report.outstanding] == [
        ("odd", ROW_REFUSED, "copied")
    ]
    assert told in report.outstanding[0].message
    assert (report.phase, report.status, report.errors) == (Phase.CUT_OVER, Status.FAILED, 1)
    assert {room.pointer(each)[0] for each in OTHERS} == {room.home()}
    assert room.pointer("odd") == (room.shared, "k/odd")


def test_of_two_rows_that_exclude_each_other_both_are_named(room: Room) -> None:
    room.documents("first", "second", "third")
    for each in ("first", "second"):
        room.root.put_object(Bucket=room.shared, Key=f"k/{each}", Body=b"the same")
    room.sql("CREATE UNIQUE INDEX one_etag ON documents (tenant_id, etag)")
    [refused] = room.migrate().outstanding
    assert refused.document_id == "second"
    assert refused.message and refused.message.endswith(", which the row of document first has already")


def test_a_unique_index_over_an_expression_names_no_other_row(room: Room) -> None:
    room.documents("first", "second")
    for each in ("first", "second"):
        room.root.put_object(Bucket=room.shared, Key=f"k/{each}", Body=b"the same")
    room.sql("CREATE UNIQUE INDEX one_etag ON documents (tenant_id, lower(etag))")
    [refused] = room.migrate().outstanding
    assert refused.message and refused.message.endswith("constraint one_etag)")


def test_a_unique_index_of_another_table_names_no_row(room: Room) -> None:
    room.documents(*OTHERS, "odd")
    room.sql("CREATE TABLE audit (tenant_id integer PRIMARY KEY)")
    room.sql("INSERT INTO audit VALUES (1)")
    guard(room, "INSERT INTO audit VALUES (1);")
    [refused] = room.migrate().outstanding
    assert (refused.document_id, refused.code) == ("odd", ROW_REFUSED)
    assert refused.message and refused.message.endswith("constraint audit_pkey)")


@pytest.fixture
def held(room: Room) -> Room:
    """A room that was migrated but for the document `odd`, which a trigger holds."""
    room.documents(*OTHERS, "odd")
    guard(room, "RAISE EXCEPTION 'on hold' USING DETAIL = 'a secret';")
    assert room.migrate().errors == 1
    return room


def test_status_names_it_with_the_reason_and_without_the_detail(held: Room) -> None:
    with held.services() as services:
        [error] = errors(services.ledger, [services.ledger.tenant("acme")])
    assert (error.document_id, error.code, error.source.bucket, error.source.key) == (
        "odd",
        ROW_REFUSED,
        held.shared,
        "k/odd",
    )
    assert error.message and "on hold" in error.message and "secret" not in error.message
    assert "--only-failed" in error.hint


def test_it_is_tried_again_by_the_next_run(held: Room) -> None:
    assert held.run_order(Order(only_failed=True)).errors == 1
    held.sql("DROP TRIGGER guard ON documents")
    report = held.run_order(Order(only_failed=True))
    assert (report.status, report.this_run) == (Status.COMPLETED, 1)
    assert held.body("odd") == b"odd"


def test_its_source_stays_when_the_others_go(held: Room) -> None:
    with held.services() as services:
        report = finishing.finish_one(services, services.ledger.tenant("acme"), grace=AT_ONCE)
    assert (report.sources_removed, report.phase, report.errors) == (len(OTHERS), Phase.RELEASED, 1)
    assert held.keys(held.shared) == ["k/odd"]
    assert held.body("odd") == b"odd"


def test_the_tenant_can_be_rolled_back(held: Room) -> None:
    with held.services() as services:
        report = rolling_back.roll_back_one(services, services.ledger.tenant("acme"))
    assert (report.errors, report.this_run) == (0, len(OTHERS))
    assert {held.pointer(each)[0] for each in (*OTHERS, "odd")} == {held.shared}


def test_a_row_that_refuses_to_return_says_why(room: Room) -> None:
    room.documents(*OTHERS, "odd")
    room.migrate()
    guard(room, "RAISE EXCEPTION 'on hold';")
    with room.services() as services:
        report = rolling_back.roll_back_one(services, services.ledger.tenant("acme"))
    assert [(each.document_id, each.code) for each in report.outstanding] == [("odd", ROW_REFUSED)]
    assert {room.pointer(each)[0] for each in OTHERS} == {room.shared}
    assert room.body("odd") == b"odd"
    room.sql("DROP TRIGGER guard ON documents")
    with room.services() as services:
        assert rolling_back.roll_back_one(services, services.ledger.tenant("acme")).errors == 0
    assert room.pointer("odd")[0] == room.shared


def test_a_row_that_refuses_to_name_its_bucket_is_told(room: Room) -> None:
    for document_id in (*OTHERS, "odd"):
        room.put(f"k/{document_id}", document_id.encode())
        room.row(document_id, f"k/{document_id}")
    guard(room, "RAISE EXCEPTION 'on hold';")
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("odd", ROW_REFUSED)]
    assert room.pointer("odd") == (None, "k/odd")
    assert {room.pointer(each)[0] for each in OTHERS} == {room.home()}


def test_a_row_that_refuses_a_late_write_is_told_and_retried(room: Room) -> None:
    room.documents("odd", "b")
    room.migrate()
    guard(room, "RAISE EXCEPTION 'on hold';")
    for each in ("odd", "b"):
        room.put(f"k/{each}", f"{each}, written late".encode())
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("odd", ROW_REFUSED)]
    assert (report.late_writes, room.body("b")) == (1, b"b, written late")
    room.sql("DROP TRIGGER guard ON documents")
    assert room.migrate().status is Status.COMPLETED
    size, etag = room.sql("SELECT file_size, etag FROM documents WHERE id = 'odd'")[0]
    found = room.root.head_object(Bucket=room.home(), Key=room.pointer("odd")[1])
    assert (size, etag) == (len(b"odd, written late"), found["ETag"].strip('"'))


def test_a_row_that_refuses_a_write_after_its_return_is_told(room: Room) -> None:
    room.documents("odd", "b")
    room.migrate()
    home, keys = room.home(), {each: room.pointer(each)[1] for each in ("odd", "b")}

    def rolled_back() -> rolling_back.ReturnReport:
        with room.services() as services:
            return rolling_back.roll_back_one(services, services.ledger.tenant("acme"))

    assert rolled_back().errors == 0
    guard(room, "RAISE EXCEPTION 'on hold';")
    for each, key in keys.items():
        room.put(str(key), f"{each}, written after".encode(), bucket=home)
    time.sleep(1.1)  # S3 tells whole seconds, and a copy is newer than its source
    report = rolled_back()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("odd", ROW_REFUSED)]
    assert (room.body("b"), room.body("odd")) == (b"b, written after", b"odd")
    room.sql("DROP TRIGGER guard ON documents")
    assert rolled_back().errors == 0
    assert room.body("odd") == b"odd, written after"


def test_many_rows_that_refuse_are_each_told(room: Room) -> None:
    names = [f"d{number:02}" for number in range(30)]
    room.documents(*names)
    room.sql("ALTER TABLE documents ADD CHECK (right(id, 1) NOT IN ('3', '7')) NOT VALID")
    report = room.migrate()
    refused = [each for each in names if each[-1] in "37"]
    assert [each.document_id for each in report.outstanding] == refused
    assert report.this_run == len(names) - len(refused)
