"""Whether the ledger was made for the tables and columns that this command is mapped to.

The ledger refers to rows by their ids. Under another mapping these ids would lead to other rows, or to none: every document
would count as deleted, and `finish` would remove its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class MappedTable:
    """A mapped table: its name with the schema, its oid, and role → (name, number) for each mapped column."""

    name: str
    oid: int
    columns: Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class LedgerMapping:
    """The mapping that a ledger was made for.

    `ledger` is the oid of the ledger's own table of documents; restoring a dump changes it.
    """

    ledger: int
    tenants: MappedTable
    documents: MappedTable

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form that the ledger stores."""
        tables = {role: getattr(self, role) for role in ("tenants", "documents")}
        return {"ledger": self.ledger} | {
            role: {"table": table.name, "oid": table.oid, "columns": {k: list(v) for k, v in table.columns.items()}}
            for role, table in tables.items()
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """A table (`column` is None) or column that is not the one for which the ledger was made."""

    role: str
    column: str | None
    then: str
    now: str

    def __str__(self) -> str:
        what = f"the table of {self.role}" if self.column is None else f"{self.role}.{self.column}"
        same_name = " (another table of the same name)" if self.then == self.now else ""
        return f"{what} was {self.then} and is {self.now}{same_name}"


def from_json(value: Mapping[str, Any]) -> LedgerMapping:
    """Parse the JSON form that the ledger stores.

    Raises KeyError, TypeError or ValueError if it is malformed.
    """
    return LedgerMapping(int(value["ledger"]), _table(value["tenants"]), _table(value["documents"]))


def differences(then: LedgerMapping, now: LedgerMapping) -> list[Difference]:
    """Return the tables and columns that differ from the recorded ones.

    | the ledger's own table    | the same table if   | the same column if             |
    |---------------------------|---------------------|--------------------------------|
    | is the one of then        | its oid is the same | its name or number is the same |
    | was restored from a dump  | its name is         | its name is                    |
    """
    is_restored = then.ledger != now.ledger
    return [
        each for role in ("tenants", "documents") for each in _differences(then, now, role, is_restored=is_restored)
    ]


def _differences(then: LedgerMapping, now: LedgerMapping, role: str, *, is_restored: bool) -> Iterator[Difference]:
    was: MappedTable = getattr(then, role)
    is_now: MappedTable = getattr(now, role)
    if was.name != is_now.name if is_restored else was.oid != is_now.oid:
        yield Difference(role, None, was.name, is_now.name)
        return
    for column, (name, number) in was.columns.items():
        name_now, number_now = is_now.columns.get(column, (name, number))
        if name != name_now and (is_restored or number != number_now):
            yield Difference(role, column, name, name_now)


def _table(value: Mapping[str, Any]) -> MappedTable:
    columns = {str(role): (str(name), int(number)) for role, (name, number) in value["columns"].items()}
    return MappedTable(str(value["table"]), int(value["oid"]), columns)
