"""The example of docs/storage.md runs as written and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


def test_the_example_prints_what_the_page_shows(room, monkeypatch, capsys):
    text = PAGE.read_text(encoding="utf-8")
    example, told = re.findall(r"^```(?:python|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[:2]
    room.tenant("acme-corp")
    room.row("7f3a", None, slug="acme-corp")
    room.migrate("acme-corp")
    monkeypatch.setattr("rehouse.config.load", lambda: room.settings)
    exec(compile(example, str(PAGE), "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    home = room.home("acme-corp")
    wanted = told.replace("dataroom-saas-acme-corp-1f0c9a7e", home).splitlines()
    assert [line for line in printed if "://" not in line] == [line for line in wanted if "://" not in line]
    assert [home in line for line in printed if "://" in line] == [True]
