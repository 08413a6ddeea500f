"""Databases that are not UTF-8: what they cannot hold is left out and counted, what is no UTF-8 is one document's trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from tests.support.data_room import Room

from rehouse.config import Settings
from rehouse.ledger.connection import connect
from rehouse.ledger.encoding import holder
from rehouse.operations import cleanup as cleaning
from rehouse.operations import finish as finishing
from rehouse.operations import status as standing
from rehouse.operations.checks.database import check_database
from rehouse.operations.plan import plan
from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.s3_server import S3Server
from rehouse.sandbox.schema import create_application


@pytest.fixture
def room_in(
    postgres: PostgresServer, bucket: str, s3_server: S3Server, storage_settings: Settings
) -> Iterator[Callable[[str], Room]]:
    """Return a function that makes a room whose database has this encoding."""
    made: list[Room] = []

    def make(encoding: str) -> Room:
        name = f"in_{encoding.lower()}_{bucket.replace('-', '_')}"
        create = "CREATE DATABASE {} ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER libc TEMPLATE template0"
        postgres.execute(sql.SQL(create).format(sql.Identifier(name), sql.Literal(encoding)))
        with psycopg.connect(postgres.url(name), client_encoding="UTF8") as connection:
            create_application(connection, "integer")
        made.append(Room(f"{postgres.url(name)}?client_encoding=UTF8", bucket, s3_server, storage_settings))
        made[-1].tenant("acme")
        return made[-1]

    yield make
    for room in made:
        room.close()
        postgres.drop_database(str(psycopg.conninfo.conninfo_to_dict(room.url)["dbname"]))


def encoding_of(room: Room) -> tuple[str, str]:
    (check,) = [each for each in check_database(room.settings) if each.subject == "database: encoding"]
    return check.outcome, check.message.partition(":")[0]


def test_an_object_with_an_impossible_key_is_counted(room_in: Callable[[str], Room]) -> None:
    room = room_in("LATIN1")
    room.documents("a", "caf\u00e9")
    room.put("k/\u65e5\u672c.pdf", b"of nobody")
    room.put("k/cafe\u0301.pdf")
    room.row("near", "k/caf\u00e9.pdf", bucket=room.shared)
    assert encoding_of(room) == ("notice", "LATIN1")
    with room.services(writes=False) as services:
        planned = plan(services, services.ledger.tenants())
    assert planned.left_out == {room.shared: 2}
    report = room.migrate()
    assert (report.documents_migrated, report.errors) == (2, 1)
    assert room.body("caf\u00e9") == "caf\u00e9".encode()
    assert room.verify().count("missing") == 1
    with room.services(writes=False) as services:
        (left,) = cleaning.cleanup(services)
    kinds = {each.category: each.objects for each in left.left}
    assert (kinds["other_encoding"], left.objects) == (2, 4)


def test_texts_that_are_no_utf_8_are_one_documents_trouble(room_in: Callable[[str], Room]) -> None:
    room = room_in("SQL_ASCII")
    room.documents("a", "named", "caf\u00e9")
    room.sql(
        r"UPDATE documents SET original_name = convert_from('\x72e973756de92e706466', 'SQL_ASCII') WHERE id = 'named'"
    )
    room.row("key", "k/x", bucket=room.shared)
    room.sql(r"UPDATE documents SET s3_key = convert_from('\x6b2fe9', 'SQL_ASCII') WHERE id = 'key'")
    room.documents("id")
    room.sql(r"UPDATE documents SET id = convert_from('\x6964e9', 'SQL_ASCII') WHERE id = 'id'")
    room.sql("CREATE TABLE notes (line text)")
    room.sql(r"INSERT INTO notes VALUES (convert_from('\xe9206b2f61', 'SQL_ASCII'))")
    assert encoding_of(room) == ("notice", "SQL_ASCII")
    report = room.migrate()
    assert (report.documents_migrated, report.errors) == (3, 1)
    with room.services(writes=False) as services:
        (error,) = standing.errors(services.ledger, services.ledger.tenants())
    assert (error.document_id, error.code, error.source.key) == ("key", "invalid_key", "k/\\351")
    assert "not UTF-8" in (error.message or "")
    assert room.body("caf\u00e9") == "caf\u00e9".encode()
    assert room.body("named") == b"named"
    verified = room.verify()
    assert (verified.count("missing"), verified.is_well) == (0, False)
    room.sql("UPDATE s3_migration_documents SET flipped_at = now() - interval '8 days'")
    with room.services() as services:
        finished = finishing.finish_one(services, services.ledger.tenant("acme"), grace=services.settings.grace)
    assert (finished.sources_removed, [tuple(each) for each in finished.pointers]) == (0, [("public.notes.line", 1)])


def test_what_a_database_can_hold(empty_database: str, room_in: Callable[[str], Room]) -> None:
    told = ("a", "\u00e9", "\u65e5", "a\0", "\ud800", "\udce9")
    expected = {
        "UTF8": "111000",
        "LATIN1": "110000",
        "SQL_ASCII": "111000",
        "WIN1252": "110000",
        "EUC_JP": "111000",
    }
    for encoding, holds in expected.items():
        url = empty_database if encoding == "UTF8" else room_in(encoding).url
        with connect(url) as connection:
            can = holder(connection)
            assert "".join(str(int(can(text))) for text in told) == holds, encoding
            echoed = connection.execute("SELECT %s::text, %s::text[]", ("\u65e5 \u00e9", ["\u65e5"])).fetchone()
            assert echoed is not None
