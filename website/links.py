"""Every link of a page leads to a page of the site, and stays as it is for readers of the repository.

The site has the pages of `docs/`, the README, the contributing guide and the changelog. Any other file of the repository
that a page links to gets a page with its text.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = "docs/"
ROOT_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
"""Files outside `docs/` that are pages of the site, and the names of these pages."""

_FENCE = re.compile(r"^\s*(```+|~~~+)")
_OUTSIDE = r"(?![a-z][a-z0-9+.-]*:|//|#)"
_LINKS = re.compile(
    rf"(?P<before>\]\(|^\[[^\]]+\]:\s+|\b(?:href|src|srcset)=\"){_OUTSIDE}(?P<target>[^\s)\"#]+)", re.MULTILINE
)


def page_of(file: str) -> str:
    """Return the name of the page that shows a file of the repository.

    >>> page_of("docs/commands/plan.md"), page_of("README.md"), page_of("src/rehouse/__init__.py")
    ('commands/plan.md', 'index.md', 'source/src/rehouse/__init__.py.md')
    """
    if file in ROOT_PAGES:
        return ROOT_PAGES[file]
    return file.removeprefix(DOCS) if file.startswith(DOCS) else f"source/{file}.md"


def rewrite_links(text: str, file: str) -> str:
    """Return the text of a Markdown file of the repository with links between pages of the site.

    >>> rewrite_links("[plan](docs/commands/plan.md#usage)", "README.md")
    '[plan](commands/plan.md#usage)'
    """

    def between_pages(target: str) -> str:
        start = posixpath.dirname(page_of(file))
        return posixpath.relpath(page_of(_resolve(target, file)), start or ".")

    return _replace_targets(text, between_pages)


def linked_files(text: str, file: str) -> Iterator[str]:
    """Yield the files of the repository that a Markdown file links to."""
    found: list[str] = []

    def note(target: str) -> str:
        found.append(_resolve(target, file))
        return target

    _replace_targets(text, note)
    yield from found


def source_page(file: str) -> str:
    """Return the Markdown of the page that shows a file of the repository as it is, or the names in a folder."""
    path = ROOT / file
    head = f"---\nhide: [navigation, toc]\nsearch: {{ exclude: true }}\n---\n\n# `{file}`\n\n"
    if path.is_dir():
        return head + "".join(f"- `{each.name}`\n" for each in sorted(path.iterdir()))
    text = path.read_text(encoding="utf-8")
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=2) + 3)
    return f"{head}{fence}{path.suffix.removeprefix('.') or 'text'}\n{text.rstrip()}\n{fence}\n"


def _resolve(target: str, file: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), target))


def _replace_targets(text: str, replacement: Callable[[str], str]) -> str:
    """Replace the targets of all links into the repository, but none in a fenced block."""
    lines = []
    fence = ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        is_code = bool(mark or fence)
        lines.append(
            line if is_code else _LINKS.sub(lambda found: found["before"] + replacement(found["target"]), line)
        )
    return "".join(lines)
