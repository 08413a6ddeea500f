"""Every command of a whole life with the rights that `iam-policy` prints for its role and no others; and SQL that quotes.

Whoever is not to delete is denied it besides, explicitly. The tables and columns of the last test have names that break
whatever builds SQL from strings.
"""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from tests.reliability.place import Place
from tests.reliability.scenes import lay_out

import rehouse

SOURCE = Path(rehouse.__file__).parent
_numbers = itertools.count(1)


def as_role(place: Place, *roles: str, deletes: bool = False) -> None:
    """Give the command a fresh user with the rights of these roles, and a denial of every deletion unless it `deletes`."""
    words = [word for role in roles for word in ("--role", role)]
    policies: dict[str, Any] = json.loads(place.command("iam-policy", *words).printed)
    shared = f"arn:aws:s3:::{place.world.shared}"
    homes = f"arn:aws:s3:::{place.world.prefix}-"
    denial = {
        "Effect": "Deny",
        "Action": ["s3:DeleteObject*", "s3:DeleteBucket*"],
        "Resource": [shared, f"{shared}/*", *(f"{homes}{slug}-*" for slug in "ab")],
    }
    if not deletes:
        policies["denied"] = {"Version": "2012-10-17", "Statement": [denial]}
    place.world.keys = place.world.server.user(f"role-{place.world.prefix}-{next(_numbers)}", policies)


def well(place: Place, *arguments: str, **more: str) -> str:
    """Run the command; it must end well, and every document be readable. Return what it printed."""
    ended = place.warm.run(*arguments, environment=place.world.environment() | more)
    assert ended.status == 0, f"{arguments}: {ended}"
    assert place.unreadable() == [], arguments
    return ended.printed


def the_application_works(place: Place, home: str) -> None:
    """Read every document with the application's rights, and write one where its row points."""
    keys, place_keys = place.world.keys, place.world.keys
    as_role(place, "application", deletes=True)
    client = place.world.server.client_of(*place.world.keys)
    for document_id, (bucket, key) in place.pointers().items():
        assert bucket == home, document_id
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == place.bodies[document_id]
    document_id, (bucket, key) = min(place.pointers().items())
    place.bodies[document_id] += b"+"
    etag = client.put_object(Bucket=bucket, Key=key, Body=place.bodies[document_id])["ETag"]
    place.world.execute(
        "UPDATE documents SET etag = %s, size = %s WHERE id = %s", etag, len(place.bodies[document_id]), document_id
    )
    place.world.keys = keys or place_keys


def test_a_whole_life_each_command_with_the_rights_of_its_role(new_place: Callable[..., Place]) -> None:
    place = new_place()
    lay_out(place)
    as_role(place, "provision", "migrate")
    for command in (("init",), ("plan",), ("migrate", "a", "--until", "verified"), ("cutover", "a")):
        well(place, *command)
    home = place.home
    the_application_works(place, home)
    as_role(place, "provision")
    well(place, "audit")
    as_role(place, "migrate")
    for command in (("verify", "a"), ("verify-all", "--deep"), ("status", "a"), ("migrate", "a")):
        well(place, *command)
    as_role(place, "rollback")
    well(place, "rollback", "a", "--dry-run")
    well(place, "rollback", "a")
    the_application_works(place, place.world.shared)
    as_role(place, "provision", "migrate")
    well(place, "migrate-all")
    well(place, "migrate", "a", "--only-failed")
    the_application_works(place, home)
    as_role(place, "finish", deletes=True)
    well(place, "finish", "a", "--after", "0", "--yes", "--dry-run")
    assert '"phase": "finished"' in well(place, "finish", "--all", "--after", "0", "--yes", "--output", "json")
    well(place, "cleanup")
    the_application_works(place, home)
    as_role(place, "migrate")
    well(place, "verify", "a")


def test_the_bucket_that_nobody_uses_goes_with_the_rights_of_finish(new_place: Callable[..., Place]) -> None:
    place = new_place()
    lay_out(place)
    as_role(place, "provision", "migrate")
    well(place, "migrate", "a")
    (home,) = place.homes()
    as_role(place, "rollback")
    well(place, "rollback", "a")
    refused = place.warm.run(
        "rollback", "a", "--drop-bucket", "--yes", environment=place.world.environment() | {"REHOUSE_GRACE_DAYS": "0"}
    )
    assert refused.status == 2, refused
    assert "Hint: " in refused.printed
    assert place.homes() == [home]
    as_role(place, "finish", deletes=True)
    well(place, "rollback", "a", "--drop-bucket", "--yes", REHOUSE_GRACE_DAYS="0")
    assert place.homes() == []


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
        "etag": "e:tag", "size": "größe", "file_size": "--size", "uploaded_at": "a;b",
    },
}  # fmt: skip


def test_odd_names_of_tables_and_columns_go_through_a_whole_life(new_place: Callable[..., Place]) -> None:
    place = new_place(bare=True)
    lay_out(place)
    bodies = dict(place.bodies)
    for table, names in NAMES.items():
        for column, name in names.items():
            if column != "table":
                place.world.execute(_rendered("ALTER TABLE {} RENAME COLUMN {} TO {}", table, column, name))
        place.world.execute(_rendered("ALTER TABLE {} RENAME TO {}", table, names["table"]))
    mapping = {
        f"REHOUSE_MAPPING_{table.upper()}_{column.upper()}": name
        for table, names in NAMES.items()
        for column, name in names.items()
    }
    environment = place.world.environment() | mapping
    names = NAMES["documents"]
    query = _rendered(
        "SELECT {}, coalesce({}, '') , {} FROM {}", names["id"], names["s3_bucket"], names["s3_key"], names["table"]
    )
    root = place.world.server.root()
    for command in (
        ("init",), ("doctor",), ("plan",), ("migrate", "a", "--until", "verified"), ("cutover", "a"),
        ("verify", "a", "--deep"), ("status", "a", "--errors"),
        ("audit",), ("rollback", "a"), ("migrate-all",), ("migrate", "a", "--only-failed"),
        ("finish", "a", "--after", "0", "--yes"), ("cleanup",), ("verify-all",),
        ("status",),
    ):  # fmt: skip
        ended = place.warm.run(*command, environment=environment)
        assert ended.status == 0 or command == ("doctor",), f"{command}: {ended}"
        for document_id, bucket, key in place.world.rows(query):
            found = root.get_object(Bucket=bucket or place.world.shared, Key=key)["Body"].read()
            assert found == bodies[document_id], (command, document_id)


def _rendered(template: str, *names: str) -> str:
    return sql.SQL(template).format(*map(sql.Identifier, names)).as_string(None)


@pytest.mark.parametrize(
    ("setting", "name"), [("DOCUMENTS_S3_KEY", "100% key"), ("TENANTS_SLUG", "%s"), ("DOCUMENTS_TABLE", "50%_of_them")]
)
def test_a_name_with_a_per_cent_sign_is_refused_before_anything_happens(
    new_place: Callable[..., Place], setting: str, name: str
) -> None:
    place = new_place(bare=True)
    table, _, column = setting.lower().partition("_")
    rename = "ALTER TABLE {} RENAME TO {}" if column == "table" else "ALTER TABLE {} RENAME COLUMN {} TO {}"
    place.world.execute(_rendered(rename, *((table, name) if column == "table" else (table, column, name))))
    for command in ("init", "plan", "migrate-all"):
        ended = place.warm.run(command, environment=place.world.environment() | {f"REHOUSE_MAPPING_{setting}": name})
        assert ended.status == 2, ended
        assert name in ended.printed
        assert "per cent sign" in ended.printed
