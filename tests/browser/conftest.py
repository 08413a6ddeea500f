"""The data room of examples/ on the sandbox, and a page of it in Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
READY_SECONDS = 120
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The address of the page, which `scripts/example` serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "REHOUSE_", "PG"))}
    serving = subprocess.Popen([ROOT / "scripts/example", str(port)], env=environment, start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{port}/", serving)
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run(["pkill", "-INT", "-f", f"dataroom/start.py {port}"], check=False)
        serving.wait(60)


def _wait(url: str, serving: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and serving.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"{url} does not answer")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    path = shutil.which("chromium")
    assert path, "chromium is missing: scripts/browser installs it"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page in a context of its own; at the end nothing may have been wrong in any of them."""
    wrong: list[str] = []
    opened = []

    def watch(page: Page) -> None:
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not _is_ours(request.url) else None)

    def open_page(tenant: str, **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        opened.append(context)
        page = context.new_page()
        watch(page)
        page.goto(f"{address}/#{tenant}")
        expect(page.locator("#phase")).not_to_be_empty()
        return page

    yield open_page
    for context in opened:
        context.close()
    assert wrong == []


def _is_ours(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:", "chrome-extension:"))
