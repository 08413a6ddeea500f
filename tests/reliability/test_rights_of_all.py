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
from tests.support.envelope import result_of
from tests.support.place import SHARED, Place
from tests.support.scenes import finished, lay_out, opened

import rehouse

SOURCE = Path(rehouse.__file__).parent
PAGES = Path(__file__).parents[2] / "docs/commands"
ACCOUNT = "000000000000"
"""The account of the S3 server's users."""
_numbers = itertools.count(1)


def as_role(place: Place, *roles: str, deletes: bool = False) -> None:
    """Give the command a fresh user with the rights of these roles, and a denial of every deletion unless it `deletes`."""
    words = ["--account", ACCOUNT, *(word for role in roles for word in ("--role", role))]
    printed = place.command("iam-policy", *words).printed
    policies: dict[str, Any] = json.JSONDecoder().raw_decode(printed[printed.index("{") :])[
        0
    ]  # the sizes are told beside it
    if place.world.log_bucket in place.buckets():
        policies.pop("rehouse-log-bucket", None)  # as its page says: only until the log bucket is made
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


def roles_of(command: str) -> list[str]:
    """Return the roles that a command's page names; what it names after a semicolon is for special cases."""
    (line,) = re.findall(r"^\*\*Roles of .*:\*\* ([^;\n]*)", (PAGES / f"{command}.md").read_text(), re.MULTILINE)
    return re.findall(r"`([\w-]+)`", line)


def quarantine(place: Place) -> None:
    """Add what no run can move: rows whose object is missing, whose key is none, and whose object two tenants claim."""
    place.world.execute("INSERT INTO tenants (id, name, slug) VALUES (2, 'B', 'b')")
    place.put(place.world.shared, "in/claimed", b"claimed")
    for document_id, tenant, key in (
        ("missing", 1, "in/none"),
        ("url", 1, "s3://a/b"),
        ("c1", 1, "in/claimed"),
        ("c2", 2, "in/claimed"),
    ):
        place.world.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "VALUES (%s, %s, 'x', 'f', %s, %s, 1, '2024-01-01')",
            document_id, tenant, place.world.shared, key,
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


def test_each_command_needs_the_roles_of_its_page_alone(
    new_place: Callable[..., Place],
) -> None:
    place = new_place()
    lay_out(place)
    quarantine(place)
    for command in LIFE:
        as_role(place, *roles_of(command[0]), deletes=command[0] == "finish")
        ended = place.command(*command)
        assert ended.status in {0, 1, 3}, f"{command}: {ended}"
        assert not [word for word in DENIALS if word in ended.printed], f"{command}: {ended}"
        assert place.unreadable() == [], command
    assert place.world.rows("SELECT phase FROM s3_migrations WHERE tenant_id = 1") == [("released",)]


def test_a_whole_life_beside_an_application_with_its_own_rights(new_place: Callable[..., Place]) -> None:
    place = new_place()
    lay_out(place)
    as_role(place, "provision", "migrate")
    well(place, "migrate", "a")
    home = place.home
    the_application_works(place, home)
    as_role(place, "rollback")
    well(place, "rollback", "a")
    the_application_works(place, place.world.shared)
    as_role(place, "provision", "migrate")
    well(place, "migrate-all")
    the_application_works(place, home)
    as_role(place, "finish", deletes=True)
    assert '"phase": "finished"' in well(place, "finish", "--all", "--after", "0", "--yes", "--output", "json")
    the_application_works(place, home)


def test_a_versioned_shared_bucket_goes_with_the_role_finish(new_place: Callable[..., Place]) -> None:
    place = new_place()
    finished(place)
    as_role(place, "finish", deletes=True)
    ended = place.command("cleanup", "--drop-bucket", SHARED, "--yes")
    assert ended.status == 0, ended
    assert place.world.shared not in place.buckets()


def test_a_bucket_is_repaired_with_the_role_provision(new_place: Callable[..., Place]) -> None:
    place = new_place()
    opened(place)
    as_role(place, "provision", "migrate")
    place.done("audit", "--fix")
    as_role(place, "provision")
    place.done("audit")


def test_no_role_changes_the_log_bucket_and_runs_go_on(
    new_place: Callable[..., Place],
) -> None:
    place = new_place()
    lay_out(place)
    policies = json.loads(place.world.run("iam-policy", "--role", "provision", "--role", "migrate").stdout)
    del policies["rehouse-log-bucket"]
    place.world.keys = place.world.server.user(f"no-logs-{place.world.prefix}", policies)
    refused = place.command("migrate", "a")
    assert refused.status == 2, refused
    assert "iam-policy --role log-bucket" in refused.printed
    assert place.homes() == []
    as_role(place, "provision", "migrate")
    well(place, "migrate", "a", "--until", "provisioned")
    as_role(place, "provision", "migrate", "rollback", "finish", "application", deletes=True)
    logs, client = place.world.log_bucket, place.world.server.client_of(*place.world.keys)
    for change in (
        lambda: client.delete_bucket_policy(Bucket=logs),
        lambda: client.put_bucket_policy(Bucket=logs, Policy="{}"),
        lambda: client.put_bucket_lifecycle_configuration(Bucket=logs, LifecycleConfiguration={"Rules": []}),
        lambda: client.put_object(Bucket=logs, Key="k", Body=b"forged"),
        lambda: client.delete_bucket(Bucket=logs),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            change()
    place.world.server.root().delete_bucket_lifecycle(Bucket=logs)
    assert "log bucket differs from its specification" in well(place, "migrate", "a")
    as_role(place, "provision")
    assert place.command("audit").status == 1


def test_doctor_needs_no_more_either(new_place: Callable[..., Place]) -> None:
    place = new_place()
    lay_out(place)
    as_role(place, *roles_of("doctor"))
    checks = result_of(place.command("doctor", "--probe", "--output", "json").printed)["checks"]
    refused = [each for each in checks if "AccessDenied" in each["message"] and "no simulation" not in each["message"]]
    assert refused == []
    assert place.homes() == []


def test_an_unused_bucket_goes_with_the_role_finish(new_place: Callable[..., Place]) -> None:
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


def test_odd_table_and_column_names_live_a_whole_life(new_place: Callable[..., Place]) -> None:
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
def test_a_name_with_a_per_cent_sign_is_refused_at_once(
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
