"""The data room's page in a real browser: uploads straight to S3, paused and resumed, and what must not work."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

pytestmark = pytest.mark.browser
LARGE = 40 * 2**20
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 6 * 2**20}
Open = Callable[..., Page]
SEND = """async ([grant, body, headers]) => {
  const answer = await fetch(grant.url, {method: grant.method, headers: {...grant.headers, ...headers}, body});
  return answer.status;
}"""
REFUSED = """async ([grant, body]) => {
  const sent = {method: grant.method, headers: grant.headers, body};
  try { return (await fetch(grant.url, sent)).status; } catch (error) { return error.name; }
}"""


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "Größe – 資料.bin"
    file.write_bytes(os.urandom(LARGE))
    return file


def upload(page: Page, *files: object) -> None:
    page.set_input_files("#files", files)  # type: ignore[arg-type]


def small(name: str, body: bytes = b"hello") -> dict[str, object]:
    return {"name": name, "mimeType": "text/plain", "buffer": body}


def document(page: Page, name: str):
    return page.locator("#documents li").filter(has_text=name)


def grant(page: Page, name: str, size: int, **more: object) -> dict[str, object]:
    """Insert a row and return a grant for it, as the page does."""
    return page.evaluate(
        """async (file) => {
          const post = async (path, json) => (await fetch("/api/acme-corp/" + path, {
            method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(json)})).json();
          const {document_id} = await post("rows", file);
          return post("uploads", {document_id, ...file});
        }""",
        {"name": name, "size": size, "content_type": "text/plain", **more},
    )


def test_a_small_file_is_uploaded_and_downloaded(open_page: Open) -> None:
    page = open_page("acme-corp")
    upload(page, small("Größe – résumé 資料.txt"))
    row = document(page, "Größe – résumé 資料.txt")
    expect(row).to_be_visible()
    with page.expect_download() as downloading:
        row.get_by_role("button", name="Download").click()
    assert downloading.value.suggested_filename == "Größe – résumé 資料.txt"
    assert downloading.value.path().read_bytes() == b"hello"


def test_a_large_file_is_paused_and_resumed(open_page: Open, large: Path) -> None:
    page = open_page("acme-corp")
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    upload(page, large)
    line = page.locator("#uploads li")
    line.get_by_role("button", name="Pause").click()
    expect(line.get_by_role("button", name="Resume")).to_be_visible()
    line.get_by_role("button", name="Resume").click()
    expect(document(page, large.name)).to_be_visible(timeout=60_000)
    expect(document(page, large.name)).to_contain_text("40 MB")
    expect(line).to_have_count(0)


def test_an_upload_goes_on_after_a_reload(open_page: Open, large: Path) -> None:
    page = open_page("globex")
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", SLOW)
    with page.expect_response(lambda answer: _part(answer.request) is not None and answer.ok, timeout=60_000):
        upload(page, large)
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))  # noqa: PLW0108 - Playwright takes no builtin
    page.reload()
    expect(document(page, large.name)).to_be_visible(timeout=60_000)
    assert len({_part(request) for request in sent} - {None}) < 5, "only the parts that were missing are sent"


def _part(request: Request) -> str | None:
    """Return the number of the part that a request uploads."""
    found = re.search(r"partNumber=(\d+)", request.url)
    return found[1] if found and request.method == "PUT" else None


def test_another_origin_is_refused_by_the_browser(open_page: Open, browser: Browser, address: str) -> None:
    page = open_page("acme-corp")
    granted = grant(page, "a.txt", 5)
    stranger = browser.new_page()
    stranger.goto(address.replace("127.0.0.1", "localhost") + "/page/icon.svg")
    assert stranger.evaluate(REFUSED, [granted, "hello"]) == "TypeError"
    stranger.close()


@pytest.mark.parametrize(
    ("body", "size", "status"),
    [("hello", 5, 200), ("longer", 5, 403), ("hell", 5, 403)],
    ids=["right", "longer", "shorter"],
)
def test_only_the_granted_length_is_accepted(browser: Browser, address: str, body: str, size: int, status: int) -> None:
    page = browser.new_page()
    page.goto(address)
    assert page.evaluate(SEND, [grant(page, "a.txt", size), body, {}]) == status
    page.close()


def test_changed_bytes_and_a_second_use_are_refused(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    checksum = {"algorithm": "sha256", "value": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="}  # of "hello"
    granted = grant(page, "a.txt", 5, checksum=checksum)
    assert page.evaluate(SEND, [granted, "jello", {}]) == 400
    assert page.evaluate(SEND, [granted, "hello", {}]) == 200
    assert page.evaluate(SEND, [granted, "hello", {}]) == 412
    page.close()


def test_delete_and_undelete_by_keyboard_after_a_migration(open_page: Open) -> None:
    page = open_page("umbrella")
    page.get_by_role("button", name="Migrate").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#phase")).to_have_text(re.compile("migrated$"), timeout=60_000)
    expect(page.locator("#bucket")).to_contain_text("Its own bucket")
    upload(page, small("Minutes.txt"))
    document(page, "Minutes.txt").get_by_role("button", name="Delete").press("Enter")
    expect(document(page, "Minutes.txt")).to_contain_text("deleted")
    document(page, "Minutes.txt").get_by_role("button", name="Undelete").press("Enter")
    expect(document(page, "Minutes.txt").get_by_role("button", name="Download")).to_be_visible()


def test_a_preview_shows_the_document(open_page: Open) -> None:
    page = open_page("acme-corp")
    upload(page, small("Note.txt", b"read me"))
    document(page, "Note.txt").get_by_role("button", name="Preview").click()
    expect(page.frame_locator("#frame").locator("body")).to_contain_text("read me")
    page.keyboard.press("Escape")
    expect(page.locator("#preview")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1200])
def test_the_page_fits_every_width(open_page: Open, scheme: str, width: int, tmp_path: Path) -> None:
    page = open_page("acme-corp", viewport={"width": width, "height": 800}, color_scheme=scheme)
    expect(page.locator("#documents li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 24, 23)") == (scheme == "dark")
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    page.screenshot(path=folder / f"dataroom-{scheme}-{width}.png")
