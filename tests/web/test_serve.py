"""`rehouse serve` as a process of its own: the token, where it listens, what it logs, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.support.serving import BEARER, SOURCE, TOKEN, Served, serve
from tests.support.web_uploads import BODY, LARGE, declared, put_parts

__all__ = ["serve"]


@pytest.fixture
def served(serve) -> Served:
    return serve("--port", "0")


def refusal(room, *options: str, **more: str) -> str:
    ended = room.run("serve", *options, **{"REHOUSE_SERVE_TOKEN": TOKEN, **more})
    assert ended.returncode == 2, ended.stdout
    assert TOKEN not in ended.stdout + ended.stderr
    return ended.stderr


def test_a_tenant_is_served(room, served, document):
    assert served.address.startswith("http://127.0.0.1:")
    assert httpx.get(f"{served.address}/healthz").json() == {"status": "ok"}
    with served.client() as api:
        for body in (BODY, LARGE):
            grant = api.post("/uploads", json=declared(document, body)).json()
            if grant["parts"]:
                put_parts(grant, body)
            else:
                httpx.put(grant["url"], headers=grant["headers"], content=body).raise_for_status()
            assert api.post(f"/uploads/{grant['grant_id']}/confirm").status_code == 200
            assert room.body(document) == body
        assert api.get("/usage").json()["bytes"] == len(LARGE)
        assert httpx.get(api.get(f"/documents/{document}/url").json()["url"]).content == LARGE
        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(lambda _: api.get(f"/documents/{document}").status_code, range(64)))
        assert set(answers) == {200}
    [tenant_id] = room.sql("SELECT id FROM tenants WHERE slug = 'acme'")[0]
    with served.client(f"id:{tenant_id}") as api:
        assert api.get("/documents").json()[0]["document_id"] == document
    with served.client("nope") as api:
        assert (api.get("/usage").status_code, api.get("/usage").json()["error"]) == (404, "unknown_tenant")


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": TOKEN}, {"authorization": "Bearer"}, {"authorization": f"Bearer {TOKEN[:-1]}"},
     {"authorization": f"Bearer {TOKEN}0"}, {"authorization": f"Basic {TOKEN}"},
     [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]],
)  # fmt: skip
def test_nobody_comes_in_without_the_token(served, headers):
    for path in ("/tenants/acme/usage", "/openapi.json", "/nope", "/healthz/"):
        answer = httpx.get(f"{served.address}{path}", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_the_errors_of_http_have_the_same_body(served):
    for method, path, status in (
        ("GET", "/nope", 404), ("PATCH", "/tenants/acme/usage", 405), ("GET", "/tenants/acme/usage/", 404),
        ("GET", "/docs", 404), ("GET", "/redoc", 404),
    ):  # fmt: skip
        answer = httpx.request(method, served.address + path, headers=BEARER)
        assert (answer.status_code, set(answer.json())) == (status, {"error", "message", "hint", "subject"})
    long = httpx.post(f"{served.address}/tenants/acme/uploads", headers=BEARER, json={"name": "a" * 100_000})
    assert (long.status_code, set(long.json())) == (413, {"error", "message", "hint", "subject"})
    spoilt = httpx.post(
        f"{served.address}/tenants/acme/uploads",
        headers={**BEARER, "content-type": "application/json"},
        content=b"\xff",
    )
    assert (spoilt.status_code, set(spoilt.json())) == (400, {"error", "message", "hint", "subject"})


def test_openapi_names_the_routes_and_the_token(served):
    told = httpx.get(f"{served.address}/openapi.json", headers=BEARER).json()
    assert "/tenants/{tenant}/uploads/{grant_id}/confirm" in told["paths"]
    assert told["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


def test_the_log_has_a_line_for_each_request(served, document):
    with served.client() as api:
        api.get(f"/documents/{document}", params={"secret": "hunter2"})
        api.get("/documents/a%0Ab")
    assert served.end() == 0
    told = served.said()
    assert "run `rehouse sweep` every hour" in told
    assert f" INFO GET /tenants/acme/documents/{document} 200 " in told
    assert " INFO GET /tenants/acme/documents/a\\nb 404 " in told
    assert "hunter2" not in told and TOKEN not in told


def test_a_log_file_is_used_if_one_is_set(serve, tmp_path):
    served = serve("--port", "0", REHOUSE_LOG_FILE=str(tmp_path / "log"))
    httpx.get(f"{served.address}/healthz?secret=hunter2")
    assert served.end() == 0
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert " INFO GET /healthz 200 " in log
    assert "hunter2" not in log and TOKEN not in log
    assert "/healthz" not in served.said()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_its_requests_are_done(room, served, document, by):
    def slow() -> Iterator[bytes]:
        yield b"a"
        served.process.send_signal(by)
        time.sleep(1)
        yield b"b"

    with served.client() as api:
        answer = api.put(f"/documents/{document}/content", params={"name": "a"}, content=slow())
    assert (answer.status_code, served.process.wait(60)) == (200, 0)
    assert room.body(document) == b"ab"
    assert "stopped" in served.said() and "Traceback" not in served.said()


def test_a_body_that_ends_early_changes_nothing(room, served, document):
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        head = f"PUT /tenants/acme/documents/{document}/content?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
        raw.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\nabc".encode())
        time.sleep(0.5)
    until = time.monotonic() + 20
    while " PUT /tenants" not in served.said():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert room.pointer(document) == (None, None)
    assert "Traceback" not in served.said()
    with served.client() as api:
        assert api.get("/usage").json()["reserved_bytes"] == 0


def test_a_unix_socket_is_for_owner_and_group(serve, tmp_path):
    path = tmp_path / "s"
    served = serve("--socket", str(path), "--sweep")
    assert served.address == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), headers=BEARER) as api:
        assert api.get("http://rehouse/tenants/acme/usage").status_code == 200
    assert served.end() == 0
    assert not path.exists()
    assert " INFO sweep: 0 uploads, 0 objects, 0 failed" in served.said()


def test_a_socket_of_a_killed_server_is_taken_over(room, serve, tmp_path):
    path = tmp_path / "s"
    first = serve("--socket", str(path))
    assert "another server listens there" in refusal(room, "--socket", str(path))
    first.end(signal.SIGKILL)
    assert path.exists()
    assert serve("--socket", str(path)).end() == 0


def test_where_it_cannot_listen_is_told(room, served, tmp_path):
    (tmp_path / "file").write_text("mine")
    port = served.address.rpartition(":")[2]
    for options, told in (
        (("--port", port), "Address already in use"),
        (("--host", "0.0.0.0"), "is not a loopback address"),
        (("--host", "::"), "is not a loopback address"),
        (("--host", "no.such.host.invalid"), "cannot listen on no.such.host.invalid"),
        (("--socket", str(tmp_path / "file")), "a file of another kind is there"),
        (("--socket", str(tmp_path / "no" / "s")), "No such file"),
        (("--socket", str(tmp_path / ("s" * 200))), "cannot listen on"),
        (("--socket", str(tmp_path / "s"), "--port", "1"), "was given with an address"),
    ):
        said = refusal(room, *options)
        assert told in said and "Hint:" in said
    assert (tmp_path / "file").read_text() == "mine"


def test_another_address_if_that_is_asked_for(serve):
    served = serve("--host", "0.0.0.0", "--port", "0", "--allow-remote")
    assert httpx.get(f"{served.address.replace('0.0.0.0', '127.0.0.1')}/healthz").status_code == 200


def test_no_server_without_a_token(room, tmp_path):
    file = tmp_path / "token"
    assert "REHOUSE_SERVE_TOKEN is not set" in refusal(room, REHOUSE_SERVE_TOKEN="")
    for weak in ("short", "a" * 31, "a" * 20 + " " + "b" * 20, "ü" * 40):
        said = refusal(room, REHOUSE_SERVE_TOKEN=weak)
        assert "too weak" in said and weak not in said
    assert "No such file" in refusal(room, REHOUSE_SERVE_TOKEN="", REHOUSE_SERVE_TOKEN_FILE=str(file))
    file.write_bytes(b"\xff" * 40)
    assert "it is not text" in refusal(room, REHOUSE_SERVE_TOKEN="", REHOUSE_SERVE_TOKEN_FILE=str(file))
    assert "are both set" in refusal(room, REHOUSE_SERVE_TOKEN_FILE=str(file))


def test_the_token_can_come_from_a_file(serve, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    served = serve("--port", "0", REHOUSE_SERVE_TOKEN="", REHOUSE_SERVE_TOKEN_FILE=str(file))
    assert httpx.get(f"{served.address}/openapi.json", headers=BEARER).status_code == 200


def test_a_missing_extra_is_named(room, tmp_path):
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError(\"No module named 'uvicorn'\", name='uvicorn')")
    ended = subprocess.run(
        [sys.executable, "-m", "rehouse", "serve"],
        env=room.environment() | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (ended.returncode, "pip install 'rehouse[http]'" in ended.stderr) == (2, True), ended.stderr


def test_help_imports_no_framework():
    code = "import sys; from rehouse.cli.main import main; main(['serve', '--help']); "
    code += "assert not {'fastapi', 'uvicorn', 'starlette'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
