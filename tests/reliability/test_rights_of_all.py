"""Every command of a whole life with the rights of the roles that its page names and no others; and SQL that quotes.

Whoever is not to delete is denied it besides, explicitly. The tables and columns of the last test have names that break
whatever builds SQL from strings.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from psycopg import sql
from tests.support.closing_questions import unreadable
from tests.support.data_room import SHARED, Room
from tests.support.envelope import result_of
from tests.support.scenes import finished, lay_out, opened

import rehouse

SOURCE = Path(rehouse.__file__).parent
PAGES = Path(__file__).parents[2] / "docs/commands"
ACCOUNT = "000000000000"
"""The account of the S3 server's users."""
_numbers = itertools.count(1)


def as_role(room: Room, *roles: str, deletes: bool = False) -> None:
    """Give the command a fresh user with the rights of these roles, and a denial of every deletion unless it `deletes`."""
    words = ["--account", ACCOUNT, *(word for role in roles for word in ("--role", role))]
    printed = room.command("iam-policy", *words).printed
    policies: dict[str, Any] = json.JSONDecoder().raw_decode(printed[printed.index("{") :])[
        0
    ]  # the sizes are told beside it
    if room.log_bucket in room.buckets():
        policies.pop("rehouse-log-bucket", None)  # as its page says: only until the log bucket is made
    shared = f"arn:aws:s3:::{room.shared}"
    homes = f"arn:aws:s3:::{room.prefix}-"
    denial = {
        "Effect": "Deny",
        "Action": ["s3:DeleteObject*", "s3:DeleteBucket*"],
        "Resource": [shared, f"{shared}/*", *(f"{homes}{slug}-*" for slug in "ab")],
    }
    if not deletes:
        policies["denied"] = {"Version": "2012-10-17", "Statement": [denial]}
    room.credentials = room.server.user(f"role-{room.prefix}-{next(_numbers)}", policies)


def well(room: Room, *arguments: str, **more: str) -> str:
    """Run the command; it must end well, and every document be readable. Return what it printed."""
    ended = room.warm.run(*arguments, environment=room.environment() | more)
    assert ended.status == 0, f"{arguments}: {ended}"
    assert unreadable(room) == [], arguments
    return ended.printed


def the_application_works(room: Room, home: str) -> None:
    """Read every document with the application's rights, and write one where its row points."""
    keys, room_keys = room.credentials, room.credentials
    as_role(room, "application", deletes=True)
    client = room.server.client_of(*room.credentials)
    for document_id, (bucket, key) in room.pointers().items():
        assert bucket == home, document_id
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == room.bodies[document_id]
    document_id, (bucket, key) = min(room.pointers().items())
    room.bodies[document_id] += b"+"
    etag = client.put_object(Bucket=bucket, Key=key, Body=room.bodies[document_id])["ETag"]
    room.execute(
        "UPDATE documents SET etag = %s, size = %s WHERE id = %s", etag, len(room.bodies[document_id]), document_id
    )
    room.credentials = keys or room_keys


def roles_of(command: str) -> list[str]:
    """Return the roles that a command's page names; what it names after a semicolon is for special cases."""
    (line,) = re.findall(r"^\*\*Roles of .*:\*\* ([^;\n]*)", (PAGES / f"{command}.md").read_text(), re.MULTILINE)
    return re.findall(r"`([\w-]+)`", line)


def quarantine(room: Room) -> None:
    """Add what no run can move: rows whose object is missing, whose key is none, and whose object two tenants claim."""
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (2, 'B', 'b')")
    room.put_with_metadata(room.shared, "in/claimed", b"claimed")
    for document_id, tenant, key in (
        ("missing", 1, "in/none"),
        ("url", 1, "s3://a/b"),
        ("c1", 1, "in/claimed"),
        ("c2", 2, "in/claimed"),
    ):
        room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "VALUES (%s, %s, 'x', 'f', %s, %s, 1, '2024-01-01')",
            document_id, tenant, room.shared, key,
        )  # fmt: skip


LIFE = (
    ("init",), ("plan",), ("migrate", "a", "--until", "verified"), ("cutover", "a"),
    ("audit",), ("audit", "--fix", "--dry-run"),
    ("verify", "a"), ("verify-all", "--deep"), ("status", "a", "--errors"), ("migrate", "a"),
    ("rollback", "a", "--dry-run"), ("rollback", "a"), ("migrate-all",), ("migrate", "a", "--only-failed"),
    ("finish", "a", "--after", "0", "--yes", "--dry-run"), ("finish", "--all", "--after", "0", "--yes"),
    ("finish", "a", "--after", "0", "--yes"),
    ("cleanup",), ("accept", "a", "missing", "--reason", "it was never uploaded"), ("plan",),
)  # fmt: skip
DENIALS = ("AccessDenied", "iam-policy", "may not be read", "could not check")


@pytest.mark.long
@pytest.mark.sample
def test_each_command_needs_the_roles_of_its_page_alone(
    new_room: Callable[..., Room],
) -> None:
    room = new_room()
    lay_out(room)
    quarantine(room)
    for command in LIFE:
        as_role(room, *roles_of(command[0]), deletes=command[0] == "finish")
        ended = room.command(*command)
        assert ended.status in {0, 1, 3}, f"{command}: {ended}"
        assert not [word for word in DENIALS if word in ended.printed], f"{command}: {ended}"
        assert unreadable(room) == [], command
    assert room.rows("SELECT phase FROM s3_migrations WHERE tenant_id = 1") == [("released",)]


def test_a_whole_life_beside_an_application_with_its_own_rights(new_room: Callable[..., Room]) -> None:
    room = new_room()
    lay_out(room)
    as_role(room, "provision", "migrate")
    well(room, "migrate", "a")
    home = room.current_home()
    the_application_works(room, home)
    as_role(room, "rollback")
    well(room, "rollback", "a")
    the_application_works(room, room.shared)
    as_role(room, "provision", "migrate")
    well(room, "migrate-all")
    the_application_works(room, home)
    as_role(room, "finish", deletes=True)
    assert '"phase": "finished"' in well(room, "finish", "--all", "--after", "0", "--yes", "--output", "json")
    the_application_works(room, home)


def test_a_versioned_shared_bucket_goes_with_the_role_finish(new_room: Callable[..., Room]) -> None:
    room = new_room()
    finished(room)
    as_role(room, "finish", deletes=True)
    ended = room.command("cleanup", "--drop-bucket", SHARED, "--yes")
    assert ended.status == 0, ended
    assert room.shared not in room.buckets()


def test_a_bucket_is_repaired_with_the_role_provision(new_room: Callable[..., Room]) -> None:
    room = new_room()
    opened(room)
    as_role(room, "provision", "migrate")
    room.done("audit", "--fix")
    as_role(room, "provision")
    room.done("audit")


def test_no_role_changes_the_log_bucket_and_runs_go_on(
    new_room: Callable[..., Room],
) -> None:
    room = new_room()
    lay_out(room)
    policies = json.loads(room.run("iam-policy", "--role", "provision", "--role", "migrate").stdout)
    del policies["rehouse-log-bucket"]
    room.credentials = room.server.user(f"no-logs-{room.prefix}", policies)
    refused = room.command("migrate", "a")
    assert refused.status == 2, refused
    assert "iam-policy --role log-bucket" in refused.printed
    assert room.homes() == []
    as_role(room, "provision", "migrate")
    well(room, "migrate", "a", "--until", "provisioned")
    as_role(room, "provision", "migrate", "rollback", "finish", "application", deletes=True)
    logs, client = room.log_bucket, room.server.client_of(*room.credentials)
    for change in (
        lambda: client.delete_bucket_policy(Bucket=logs),
        lambda: client.put_bucket_policy(Bucket=logs, Policy="{}"),
        lambda: client.put_bucket_lifecycle_configuration(Bucket=logs, LifecycleConfiguration={"Rules": []}),
        lambda: client.put_object(Bucket=logs, Key="k", Body=b"forged"),
        lambda: client.delete_bucket(Bucket=logs),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            change()
    room.server.root().delete_bucket_lifecycle(Bucket=logs)
    assert "log bucket differs from its specification" in well(room, "migrate", "a")
    as_role(room, "provision")
    assert room.command("audit").status == 1


def test_doctor_needs_no_more_either(new_room: Callable[..., Room]) -> None:
    room = new_room()
    lay_out(room)
    as_role(room, *roles_of("doctor"))
    checks = result_of(room.command("doctor", "--probe", "--output", "json").printed)["checks"]
    refused = [each for each in checks if "AccessDenied" in each["message"] and "no simulation" not in each["message"]]
    assert refused == []
    assert room.homes() == []


def test_an_unused_bucket_goes_with_the_role_finish(new_room: Callable[..., Room]) -> None:
    room = new_room()
    lay_out(room)
    as_role(room, "provision", "migrate")
    well(room, "migrate", "a")
    (home,) = room.homes()
    as_role(room, "rollback")
    well(room, "rollback", "a")
    refused = room.warm.run(
        "rollback", "a", "--drop-bucket", "--yes", environment=room.environment() | {"REHOUSE_GRACE_DAYS": "0"}
    )
    assert refused.status == 2, refused
    assert "Hint: " in refused.printed
    assert room.homes() == [home]
    as_role(room, "finish", deletes=True)
    well(room, "rollback", "a", "--drop-bucket", "--yes", REHOUSE_GRACE_DAYS="0")
    assert room.homes() == []


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls of methods that send SQL, and of psycopg.sql.SQL."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="execute" | "executemany" | "copy" | "SQL"), args=[_, *_]):
                yield node


def is_built_from_text(node: ast.expr) -> bool:
    """Whether an expression is text with something put into it: an f-string, %, +, .format() of a str, join, replace."""
    for each in ast.walk(node):
        match each:
            case ast.FormattedValue() | ast.BinOp(op=ast.Mod() | ast.Add()):
                return True
            case ast.Call(func=ast.Attribute(attr="format" | "join" | "replace", value=ast.Constant())):
                return True
    return False


BUILT = {
    ("sandbox/postgres.py", "role"): "attributes of a role of the sandbox: our own words",
}
"""Where text is put together all the same, and why nothing of a user's can be in it."""


def test_no_sql_is_built_from_text() -> None:
    found = set()
    for file in SOURCE.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            found |= {
                (str(file.relative_to(SOURCE)), function.name)
                for call in calls(function)
                if is_built_from_text(call.args[0])
            }
    assert found == set(BUILT)


@pytest.mark.parametrize(
    "bad",
    [
        'c.execute(f"SELECT {x}")',
        'c.execute("SELECT %s" % x)',
        'c.execute("SELECT " + x)',
        'sql.SQL("SELECT {}".format(x))',
    ],
)
def test_the_scan_finds_text(bad: str) -> None:
    assert any(is_built_from_text(call.args[0]) for call in calls(ast.parse(bad)))


NAMES = {
    "tenants": {
        "table": 'Kunden; "DROP TABLE" $1', "id": "ID", "slug": "kürzel.mit.punkten", "name": "name with spaces",
        "aws_bucket_name": "100 ?(bucket):s",
        "is_active": "select",
    },
    "documents": {
        "table": "Dok'umente {x}", "id": "user", "tenant_id": "FROM", "original_name": 'the "name"',
        "s3_bucket": "s3.Bucket", "s3_key": "$$",
        "etag": "e:tag", "size": "größe", "file_size": "--$$size", "uploaded_at": "a;b",
    },
}  # fmt: skip


def test_odd_table_and_column_names_live_a_whole_life(new_room: Callable[..., Room]) -> None:
    room = new_room(bare=True)
    lay_out(room)
    bodies = dict(room.bodies)
    for table, names in NAMES.items():
        for column, name in names.items():
            if column != "table":
                room.execute(_rendered("ALTER TABLE {} RENAME COLUMN {} TO {}", table, column, name))
        room.execute(_rendered("ALTER TABLE {} RENAME TO {}", table, names["table"]))
    mapping = {
        f"REHOUSE_MAPPING_{table.upper()}_{column.upper()}": name
        for table, names in NAMES.items()
        for column, name in names.items()
    }
    environment = room.environment() | mapping
    names = NAMES["documents"]
    query = _rendered(
        "SELECT {}, coalesce({}, '') , {} FROM {}", names["id"], names["s3_bucket"], names["s3_key"], names["table"]
    )
    root = room.server.root()
    for command in (
        ("init",), ("doctor",), ("plan",), ("migrate", "a", "--until", "verified"), ("cutover", "a"),
        ("verify", "a", "--deep"), ("status", "a", "--errors"),
        ("audit",), ("rollback", "a"), ("migrate-all",), ("migrate", "a", "--only-failed"),
        ("finish", "a", "--after", "0", "--yes"), ("cleanup",), ("verify-all",),
        ("status",),
    ):  # fmt: skip
        ended = room.warm.run(*command, environment=environment)
        assert ended.status == 0 or command == ("doctor",), f"{command}: {ended}"
        for document_id, bucket, key in room.rows(query):
            found = root.get_object(Bucket=bucket or room.shared, Key=key)["Body"].read()
            assert found == bodies[document_id], (command, document_id)


def _rendered(template: str, *names: str) -> str:
    return sql.SQL(template).format(*map(sql.Identifier, names)).as_string(None)


@pytest.mark.parametrize(
    ("setting", "name"), [("DOCUMENTS_S3_KEY", "100% key"), ("TENANTS_SLUG", "%s"), ("DOCUMENTS_TABLE", "50%_of_them")]
)
def test_a_name_with_a_per_cent_sign_is_refused_at_once(new_room: Callable[..., Room], setting: str, name: str) -> None:
    room = new_room(bare=True)
    table, _, column = setting.lower().partition("_")
    rename = "ALTER TABLE {} RENAME TO {}" if column == "table" else "ALTER TABLE {} RENAME COLUMN {} TO {}"
    room.execute(_rendered(rename, *((table, name) if column == "table" else (table, column, name))))
    for command in ("init", "plan", "migrate-all"):
        ended = room.warm.run(command, environment=room.environment() | {f"REHOUSE_MAPPING_{setting}": name})
        assert ended.status == 2, ended
        assert name in ended.printed
        assert "per cent sign" in ended.printed
