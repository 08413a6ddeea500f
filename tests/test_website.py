"""The docs site: links lead to its pages, options and settings are the program's own, nothing is loaded from another host."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import pytest
from website import commands, hosts, links, settings

from rehouse import config
from rehouse.cli.main import COMMANDS, WORKFLOWS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in links.ROOT_PAGES)])
PAGE = f'<html><head><meta http-equiv="{hosts.POLICY}" content="default-src \'self\'">'


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_page(path: Path) -> None:
    text, file = path.read_text(encoding="utf-8"), name_of(path)
    here = posixpath.dirname(links.page_of(file))
    there = {posixpath.normpath(posixpath.join(here, target)) for target in targets(links.rewrite_links(text, file))}
    linked = set(links.linked_files(text, file))
    assert there == {links.page_of(each) for each in linked}
    assert [each for each in linked if not (ROOT / each).exists()] == []


def targets(text: str) -> list[str]:
    kept = re.sub(r"^(```+).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"(?:\]\(|\b(?:href|src|srcset)=\")(?!https?:|#)([^)\s\"#]+)", kept)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "website" / "mkdocs.yml").read_text(encoding="utf-8").partition("\nvalidation:")[0]
    listed = re.findall(r"\b([a-z-]+\.md)\n", navigation)
    assert sorted(listed) == sorted([*(path.name for path in DOCS.glob("*.md")), *links.ROOT_PAGES.values()])


@pytest.mark.parametrize(
    ("text", "file", "expected"),
    [
        ("[a](../README.md#on-aws)", "docs/tutorial.md", "[a](index.md#on-aws)"),
        ("[a](../src/x.py)", "docs/architecture.md", "[a](source/src/x.py.md)"),
        ("[a](../how-it-works.md)", "docs/commands/plan.md", "[a](../how-it-works.md)"),
        ("[a](docs/architecture.md)", "CONTRIBUTING.md", "[a](architecture.md)"),
        ("![a](docs/demo.svg)", "README.md", "![a](demo.svg)"),
        ('<img src="docs/demo.svg">', "README.md", '<img src="demo.svg">'),
        ("[a](https://example.com/docs/x.md)", "README.md", "[a](https://example.com/docs/x.md)"),
        ("[a](#on-aws)", "README.md", "[a](#on-aws)"),
        ("```\n[a](docs/x.md)\n```\n", "README.md", "```\n[a](docs/x.md)\n```\n"),
    ],
)
def test_a_link_of_the_repository_is_one_of_the_site(text: str, file: str, expected: str) -> None:
    assert links.rewrite_links(text, file) == expected


def test_the_page_of_a_file_shows_its_text() -> None:
    shown = links.source_page("website/links.py")
    assert (ROOT / "website" / "links.py").read_text(encoding="utf-8").rstrip() in shown
    assert re.search(r"^(`{4,})py\n.*^\1\n\Z", shown, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_s_options_are_the_program_s(name: str) -> None:
    text = (DOCS / "commands" / f"{name}.md").read_text(encoding="utf-8")
    made = commands.with_options(text, name)
    assert f"\n{commands.usage(name)}\n" in made
    assert "| option | default | meaning |" not in made
    assert [each for each in re.findall(r"^\| `(--[a-z-]+)`", text, re.MULTILINE) if f"{{ #{each} }}" not in made] == []


def test_an_option_has_its_values_and_its_default() -> None:
    made = commands.with_options((DOCS / "commands" / "migrate-all.md").read_text(encoding="utf-8"), "migrate-all")
    [parallel] = re.findall(r"^`--parallel`.*\n(?:.*\n){4}", made, re.MULTILINE)
    assert "integer from 1 to 64 · default: `4`" in parallel
    [output] = re.findall(r"^`--output`, `-o`.*\n(?:.*\n){4}", made, re.MULTILINE)
    assert "`text` or `json` · default: `text`" in output


@pytest.mark.parametrize(
    ("old", "new"), [("| `--fix` |", "| `--mend` |"), ("| `--fix` |", "| `--dry-run` |"), ("| option |", "| name |")]
)
def test_a_stale_page_ends_the_build(old: str, new: str) -> None:
    text = (DOCS / "commands" / "audit.md").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(commands.Stale, match="audit"):
        commands.with_options(text.replace(old, new), "audit")


def test_the_overview_has_every_command() -> None:
    text = commands.overview()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == list(WORKFLOWS)
    assert re.findall(r"^\[`rehouse ([a-z-]+)`\]\(\1\.md\)\n:   \S", text, re.MULTILINE) == list(COMMANDS)


def test_every_setting_has_an_entry_with_its_bounds() -> None:
    made = settings.with_settings((DOCS / "settings.md").read_text(encoding="utf-8"))
    assert [leaf for leaf in config.leaves() if f"`{leaf}` {{ #{leaf} }}" not in made] == []
    assert "integer from 1 to 1000 · default: `256` · `REHOUSE_MAX_IN_FLIGHT`" in made
    assert "`global` or `account-regional` · default: `global`" in made
    assert "### `[lifecycle]`" in made


@pytest.mark.parametrize(("old", "new"), [("| `max_rate` |", "| `maximum` |"), ("| setting |", "| name |")])
def test_a_stale_settings_page_ends_the_build(old: str, new: str) -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(commands.Stale, match="settings"):
        settings.with_settings(text.replace(old, new))


@pytest.mark.parametrize(
    "loaded",
    [
        '<script src="https://cdn.example.com/x.js"></script>',
        '<script src="//cdn.example.com/x.js"></script>',
        '<script>import("https://cdn.example.com/x.js")</script>',
        '<link rel="stylesheet" href="https://cdn.example.com/x.css">',
        '<link rel="preconnect" href="https://cdn.example.com">',
        '<img src="https://cdn.example.com/x.png">',
        '<img src="x.png" srcset="x.png 1x, https://cdn.example.com/x.png 2x">',
        '<p style="background: url(https://cdn.example.com/x.png)">',
        "<style>@import 'https://cdn.example.com/x.css'</style>",
        '<iframe src="https://cdn.example.com/"></iframe>',
        '<svg><image href="https://cdn.example.com/x.png"/></svg>',
    ],
)
def test_a_page_that_loads_from_another_host_is_found(loaded: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    (tmp_path / "index.html").write_text(PAGE + loaded, encoding="utf-8")
    [fault] = hosts.faults_of(tmp_path)
    assert fault.startswith("index.html: loads ")
    assert "cdn.example.com" in fault


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.css", "@font-face { src: url(https://cdn.example.com/x.woff2) }"),
        ("x.js", 'load("https://cdn.example.com/x.js")'),
        ("x.js", "fetch(`https://cdn.example.com/${name}`)"),
        ("x.svg", '<svg><use xlink:href="https://cdn.example.com/x.svg#a"/></svg>'),
    ],
)
def test_a_file_that_loads_from_another_host_is_found(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    [fault] = hosts.faults_of(tmp_path)
    assert fault.startswith(f"{name}: loads https://cdn.example.com/")


@pytest.mark.parametrize(
    "harmless",
    [
        '<a href="https://example.com/">a link</a>',
        '<link rel="canonical" href="https://example.com/">',
        '<script>say("see https://example.com/help")</script>',
        '<script>make("http://www.w3.org/2000/svg")</script>',
        '<img src="data:image/png;base64,AA==">',
        "<style>/* url(https://example.com/x.png) */</style>",
    ],
)
def test_a_link_or_a_mention_loads_nothing(harmless: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(PAGE + harmless, encoding="utf-8")
    assert hosts.faults_of(tmp_path) == []


def test_a_file_that_is_missing_from_the_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(PAGE + '<img src="pictures/x.png">', encoding="utf-8")
    assert hosts.faults_of(tmp_path) == ["index.html: pictures/x.png is not in the site"]


def test_a_page_without_a_policy_is_found(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html><head></head></html>", encoding="utf-8")
    assert hosts.faults_of(tmp_path) == [f"index.html: it has no {hosts.POLICY}"]
