"""Look for what a built page would load from another host, or would not find.

Links that a reader follows may lead anywhere. Scripts, styles, fonts and pictures come from the site itself, and each page's
Content-Security-Policy makes the browser refuse any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

POLICY = "Content-Security-Policy"
FOLLOWED_BY_READERS = frozenset({"canonical", "alternate", "author", "license", "next", "prev"})
"""What a `link` element may say without anything being loaded."""
LOADING_ATTRIBUTES = frozenset({"src", "srcset", "poster", "data", "background", "xlink:href"})
NAMES_ONLY = ("http://www.w3.org/",)
"""URLs that are names of XML namespaces."""
NEVER_ASKED = ("https://api.github.com/", "https://gitlab.com/")
"""The theme asks these for a repository's stars, only if `repo_url` names a repository there; ours names none."""

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_IN_STYLES = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
_IN_SCRIPTS = re.compile(r"""(["'`])((?:https?:)?//[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:[/:?#][^"'`\s]*)?)\1""", re.IGNORECASE)


def faults_of(site: Path) -> list[str]:
    """Return what is wrong with a built site, a line each: files that load from another host or from nowhere."""
    return [
        f"{path.relative_to(site)}: {fault}"
        for path in sorted(site.rglob("*"))
        for fault in _faults_of_file(site, path)
    ]


def _faults_of_file(site: Path, path: Path) -> Iterator[str]:
    if path.suffix in {".html", ".svg"}:
        reader = _Reader()
        reader.feed(path.read_text(encoding="utf-8"))
        if path.suffix == ".html" and not reader.has_policy:
            yield f"it has no {POLICY}"
        targets = [*reader.loaded, *in_styles("".join(reader.styles))]
        yield from (f"loads {url}" for url in in_scripts("".join(reader.scripts)))
    elif path.suffix == ".css":
        targets = list(in_styles(path.read_text(encoding="utf-8")))
    elif path.suffix == ".js":
        targets = []
        yield from (f"loads {url}" for url in in_scripts(path.read_text(encoding="utf-8")))
    else:
        return
    for target in targets:
        if is_elsewhere(target):
            yield f"loads {target}"
        elif not _is_there(site, path, target):
            yield f"{target} is not in the site"


def is_elsewhere(url: str) -> bool:
    """Return whether a URL names a host.

    >>> is_elsewhere("//cdn.example.com/x.js"), is_elsewhere("assets/x.js"), is_elsewhere("data:image/png;base64,AA==")
    (True, False, False)
    """
    return bool(urlsplit(url).netloc) and not url.startswith(NAMES_ONLY)


def in_styles(text: str) -> Iterator[str]:
    """Yield the targets that a style sheet loads.

    >>> list(in_styles("/* url(a) */ @import 'b.css'; p { background: url(c.png) }"))
    ['b.css', 'c.png']
    """
    yield from (url or imported for url, imported in _IN_STYLES.findall(_COMMENT.sub("", text)))


def in_scripts(text: str) -> Iterator[str]:
    """Yield the URLs with a host that stand alone in a string of a script; messages that mention one load nothing.

    >>> list(in_scripts('load("https://cdn.example.com/x.js"); say("see https://example.com/help")'))
    ['https://cdn.example.com/x.js']
    """
    found = (url for _, url in _IN_SCRIPTS.findall(text))
    yield from (url for url in found if not url.startswith(NAMES_ONLY + NEVER_ASKED))


def _is_there(site: Path, path: Path, target: str) -> bool:
    parts = urlsplit(target)
    if parts.scheme or not parts.path:
        return True
    base = site if parts.path.startswith("/") else path.parent
    return (base / unquote(parts.path).lstrip("/")).is_file()


class _Reader(HTMLParser):
    """What a page loads, and the text of its own scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.has_policy = False
        self._into: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._into = {"script": self.scripts, "style": self.styles}.get(tag)
        if tag == "meta" and given.get("http-equiv", "").lower() == POLICY.lower():
            self.has_policy = True
        if tag == "link" and not FOLLOWED_BY_READERS.issuperset(given.get("rel", "").split()):
            self.loaded.append(given.get("href", ""))
        if tag in {"image", "use"} and "href" in given:
            self.loaded.append(given["href"])
        self.styles.append(given.get("style", "") + "\n")
        for name in LOADING_ATTRIBUTES & given.keys():
            values = given[name].split(",") if name == "srcset" else [given[name]]
            self.loaded += [value.split()[0] for value in values if value.split()]

    def handle_endtag(self, tag: str) -> None:
        self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)
