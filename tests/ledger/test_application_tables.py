"""Which statements write the application's tables: the ones that docs/architecture.md lists, and no others."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
WRITES = re.compile(
    r"\b(?:UPDATE|INSERT\s+INTO|DELETE\s+FROM|TRUNCATE(?:\s+TABLE)?|MERGE\s+INTO|COPY)\s+(?:ONLY\s+)?\{(?:documents|tenants)\}",
    re.IGNORECASE,
)


def statements_that_write() -> set[tuple[str, str]]:
    found = set()
    for entry in files("rehouse.ledger").joinpath("sql").iterdir():
        for statement in entry.read_text(encoding="utf-8").split("-- name: ")[1:]:
            name, _, text = statement.partition("\n")
            if WRITES.search(text):
                found.add((name.strip(), entry.name))
    return found


def test_the_look_knows_a_write_when_it_sees_one() -> None:
    writes = ["update only {documents} d SET", "INSERT\n  INTO {tenants}", "truncate table {documents}"]
    assert all(WRITES.search(text) for text in writes)
    assert not WRITES.search("SELECT 1 FROM {documents} d FOR UPDATE OF d")


def test_the_page_lists_every_statement_that_writes() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## What writes the application's tables")[2]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| `(\w+\.sql)` \|", section.partition("\n## ")[0], re.MULTILINE)
    listed = {(name, file) for names, file in rows for name in re.findall(r"\w+", names)}
    assert listed == statements_that_write()
    assert len(listed) >= 7


def test_the_applications_role_writes_one_row_by_tenant_and_id() -> None:
    text = files("rehouse.ledger").joinpath("sql", "application_rows.sql").read_text(encoding="utf-8")
    writes = [each for each in text.split("-- name: ") if WRITES.search(each)]
    row = "WHERE d.{documents.tenant_id} = %(tenant_id)s AND d.{documents.id} = %(document_id)s"
    assert len(writes) == 2
    assert all(row in each for each in writes)


def test_no_module_writes_them_past_the_named_statements() -> None:
    sources = Path(str(files("rehouse.ledger"))).rglob("*.py")
    assert [path.name for path in sources if WRITES.search(path.read_text(encoding="utf-8"))] == []
