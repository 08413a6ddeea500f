"""The examples of docs/http.md run as written: the FastAPI application, and the Node client against `rehouse serve`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.support.serving import TOKEN, Served, serve, serving

from rehouse.web.errors import STATUSES
from rehouse.web.router import routes

__all__ = ["serve"]
PAGE = Path(__file__).parents[2] / "docs" / "http.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def tenant(room) -> None:
    """The tenant and the row that the page speaks of."""
    room.tenant("acme-corp")
    room.row("7f3a", None, slug="acme-corp")


def test_the_application_of_the_page_runs(room, tenant, monkeypatch):
    [example] = blocks("python")
    monkeypatch.setattr("rehouse.config.load", lambda: room.settings)
    made: dict[str, object] = {"__name__": "example"}
    exec(compile(example, str(PAGE), "exec", dont_inherit=True), made)
    with serving(made["app"]) as address, made["storage"]:  # type: ignore[attr-defined]
        key = {"x-api-key": "key-of-acme"}
        assert httpx.get(f"{address}/api/documents/7f3a", headers=key).json()["document_id"] == "7f3a"
        assert httpx.get(f"{address}/names", headers=key).json() == ["7f3a.txt"]
        for path in ("/api/documents/7f3a", "/names"):
            assert httpx.get(address + path, headers={"x-api-key": "guess"}).status_code == 401


@pytest.fixture
def node(tmp_path) -> Path:
    """A folder with the page's two modules and the file that they upload."""
    client, report = blocks("javascript")[:2]
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "s3-multi-tenant.mjs").write_text(client, encoding="utf-8")
    (tmp_path / "report.mjs").write_text(report, encoding="utf-8")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 " + bytes(300_000))
    return tmp_path


def run_node(folder: Path, script: str, served: Served) -> list[str]:
    environment = {"PATH": os.environ["PATH"], "STORAGE_URL": served.address, "REHOUSE_SERVE_TOKEN": TOKEN}
    ended = subprocess.run(
        ["node", script], cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


@needs_node
def test_the_node_client_of_the_page_runs(tenant, serve, node):
    told = run_node(node, "report.mjs", serve("--port", "0"))
    stored, disposition, row, usage, error = told
    assert re.fullmatch(r"300009 bytes in tenants/\d+/documents/7f3a/Q3-report\.pdf", stored)
    assert disposition == 'attachment; filename="Q3.pdf"'
    assert row == "7f3a 7f3a.txt 300009"
    assert (usage, error) == ("300009 bytes in use", "404 no_such_document")


@needs_node
def test_the_node_client_grants_an_upload(room, tenant, serve, node):
    script = """
    import S3Service from "./services/s3-multi-tenant.mjs";
    const acme = new S3Service("acme-corp");
    const body = Buffer.from("hello");
    const grant = await acme.createUpload("7f3a", {name: "ü.txt", size: body.length, content_type: "text/plain"});
    const sent = await fetch(grant.url, {method: grant.method, headers: grant.headers, body});
    console.log(sent.status, (await acme.confirmUpload(grant.grant_id)).size);
    await new S3Service("nobody").usage().catch((error) => console.log(error.status, error.error, error.hint.length > 0));
    """
    (node / "grant.mjs").write_text(script, encoding="utf-8")
    assert run_node(node, "grant.mjs", serve("--port", "0")) == ["200 5", "404 unknown_tenant true"]
    assert room.body("7f3a") == b"hello"


def test_the_page_has_every_route_and_status():
    table = TEXT.partition("\n## Routes\n")[2].partition("\n## Errors\n")
    told = {
        (method, re.sub(r"\{(\w+_)?id\}", "{}", path))
        for method, path in re.findall(r"^\| `([A-Z]+) (\S+)` ", table[0], re.M)
    }
    made = {
        (method, re.sub(r"\{(\w+_)?id\}", "{}", route.path))
        for route in routes.routes
        for method in route.methods  # type: ignore[attr-defined]
    }
    assert told == made
    statuses = {int(status) for status in re.findall(r"^\| (\d{3}) ", table[2], re.MULTILINE)}
    assert statuses == {*STATUSES.values(), 401}
