"""What mkdocs calls while it builds the site: pages from outside `docs/`, generated entries, bundled files, the last check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from rehouse.cli.main import COMMANDS
from website import commands, links, settings
from website.hosts import faults_of

ASSETS = links.ROOT / ".cache" / "website"
"""Where `scripts/docs` unpacks the fonts and Mermaid; the same tree as in the site."""
BUNDLED: dict[str, str] = {
    '"https://unpkg.com/mermaid@11/dist/mermaid.min.js"': "new URL('mermaid.js',"
    "document.querySelector('script[src*=\"assets/javascripts/bundle\"]').src).href",
    '"https://unpkg.com/resize-observer-polyfill"': "'data:text/javascript,'",
}
"""What the theme's script would load from another host, and what it loads instead. Every browser since 2020 observes resizes."""

WITHOUT_NEIGHBOURS = frozenset({"index.md", "tutorial.md", "settings.md"})
"""Pages that are a tab of their own: a list of their section would hold nothing else."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every command and every decision in the navigation."""
    decisions = sorted(path.name for path in (links.ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    members: dict[str, list[object]] = {
        "commands/index.md": [{name: f"commands/{name}.md"} for name in COMMANDS],
        "decisions/README.md": [f"decisions/{name}" for name in decisions],
    }
    _extend(config.nav or [], members)
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`, and the fonts and Mermaid."""
    texts = {
        page.src_uri: Path(page.abs_src_path or "").read_text(encoding="utf-8") for page in files.documentation_pages()
    }
    texts = {f"{links.DOCS}{uri}": text for uri, text in texts.items()}
    outside = {file: (links.ROOT / file).read_text(encoding="utf-8") for file in links.ROOT_PAGES}
    for file, text in outside.items():
        files.append(File.generated(config, links.page_of(file), content=links.rewrite_links(text, file)))
    files.append(File.generated(config, "commands/index.md", content=commands.overview()))
    linked = {target for file, text in (texts | outside).items() for target in links.linked_files(text, file)}
    for target in sorted(linked - links.ROOT_PAGES.keys()):
        if not target.startswith(links.DOCS) and (links.ROOT / target).exists():
            page = File.generated(config, links.page_of(target), content=links.source_page(target))
            page.inclusion = InclusionLevel.NOT_IN_NAV
            files.append(page)
    for path in sorted(ASSETS.rglob("*.*")):
        files.append(File.generated(config, path.relative_to(ASSETS).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page of `docs/`, and put in what the program itself says of its options and settings."""
    if page.file.src_uri in WITHOUT_NEIGHBOURS:
        page.meta["hide"] = ["navigation"]
    if page.file.generated_by:
        return markdown
    uri = page.file.src_uri
    folder, _, name = uri.removesuffix(".md").rpartition("/")
    if folder == "commands" or uri == "settings.md":
        page.meta["search"] = {"boost": 3}
    try:
        if folder == "commands":
            markdown = commands.with_options(markdown, name)
        if uri == "settings.md":
            markdown = settings.with_settings(markdown)
    except commands.Stale as error:
        raise PluginError(str(error)) from None
    return links.rewrite_links(markdown, f"{links.DOCS}{uri}")


def on_post_build(*, config: MkDocsConfig) -> None:
    """Let the theme's script load what is bundled, then refuse a site that loads anything from another host."""
    site = Path(config.site_dir)
    [script] = site.glob("assets/javascripts/bundle.*.min.js")
    text = script.read_text(encoding="utf-8")
    for url, bundled in BUNDLED.items():
        if url not in text:
            raise PluginError(f"{script.name} does not name {url}: correct BUNDLED in {Path(__file__).name}")
        text = text.replace(url, bundled)
    script.write_text(text, encoding="utf-8")
    if faults := faults_of(site):
        raise PluginError("\n".join(["the site is not complete in itself:", *faults]))


def _extend(nav: list[Any], members: dict[str, list[object]]) -> None:
    """Append to every section of the navigation that begins with a page of `members` that page's own members."""
    for entry in nav:
        for section in entry.values() if isinstance(entry, dict) else ():
            if isinstance(section, list):
                section.extend(members.get(section[0], []) if isinstance(section[0], str) else [])
                _extend(section, members)
