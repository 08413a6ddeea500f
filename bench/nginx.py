"""The plain stub: nginx answers every request at once (or after a latency), every listing with one static page.

Its echo module writes the answer, in chunks as S3 does; its headers-more module takes the conditions off the requests,
which nginx would otherwise answer itself. It remembers nothing and costs as little as a server can, so that the client is
what is measured. One worker, one core.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measuring import SERVER_CORE
from bench.servers import wait_until_it_answers
from bench.stub.storage import SHARED, shared_key
from rehouse.sandbox.process import free_port

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
SIZE = 1000
HOST = "s3.localhost"
MODIFIED = "2025-01-01T00:00:00.000Z"
PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
MODULES = Path("/usr/lib/nginx/modules")
NEEDED = ("ngx_http_echo_module.so", "ngx_http_headers_more_filter_module.so")
COPIED = f"<CopyObjectResult><LastModified>{MODIFIED}</LastModified><ETag>&quot;{ETAG}&quot;</ETag></CopyObjectResult>"
LISTED = (
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name><Prefix></Prefix>'
    "<KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
)
CONFIGURATION = """
{load}
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; types {{ }} default_type application/xml;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {folder};
    listen 127.0.0.1:{tls_port} ssl backlog=4096;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    location = /_status {{ stub_status; }}
    location = /listings/{shared} {{ }}
    location = /listings/none {{ }}
    location / {{
      if ($request_method = HEAD) {{ return 418; }}
      if ($request_method = GET) {{ return 419; }}
      more_clear_input_headers If-None-Match If-Match;
      {sleep} echo -n '{copied}';
    }}
    error_page 418 =200 @head;
    error_page 419 =200 @list;
    location @head {{ {sleep} echo_exec @headers; }}
    location @list {{ {sleep} echo_exec @page; }}
    location @headers {{
      add_header ETag '"{etag}"'; add_header Last-Modified "Wed, 01 Jan 2025 00:00:00 GMT"; return 200 "{body}";
    }}
    location @page {{
      rewrite ^/{shared}(/|$) /listings/{shared} last;
      rewrite ^ /listings/none last;
    }}
  }}
}}
"""


class Nginx:
    """A running plain stub. Over TLS it is `s3.localhost`, and every name below that; `ca_bundle` is its certificate."""

    def __init__(self, port: int, tls_port: int, ca_bundle: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.tls_url = f"https://{HOST}:{tls_port}"
        self.ca_bundle = ca_bundle

    def requests(self) -> int:
        """Return how many requests it has had, this one included."""
        return self._counted()[2]

    def connections(self) -> int:
        """Return how many connections it has had, this one included."""
        return self._counted()[0]

    def _counted(self) -> list[int]:
        """Connections accepted, connections handled, requests."""
        with urllib.request.urlopen(f"{self.url}/_status", timeout=10) as answer:
            found = re.search(r"\n\s*(\d+)\s+(\d+)\s+(\d+)", answer.read().decode())
        return [int(number) for number in found.groups()] if found else [0, 0, 0]


def missing() -> str | None:
    """Return what is missing here for this stub, or None."""
    if PROGRAM is None:
        return "nginx is not installed"
    if shutil.which("openssl") is None:
        return "openssl is not installed"
    lacking = [name for name in NEEDED if not (MODULES / name).exists()]
    return f"nginx lacks {', '.join(lacking)}" if lacking else None


@contextmanager
def nginx(objects: int, latency_ms: int = 0) -> Iterator[Nginx]:
    """Run nginx on a core of its own; its bucket `shared` lists `objects` keys on one page, every other bucket none."""
    with tempfile.TemporaryDirectory(prefix="rehouse-bench-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        _write_listings(folder / "listings", objects)
        port, tls_port = free_port(), free_port()
        _make_certificate(folder)
        (folder / "nginx.conf").write_text(_configuration(folder, port, tls_port, latency_ms))
        command = [
            "taskset",
            "--cpu-list",
            str(SERVER_CORE),
            str(PROGRAM),
            "-p",
            name,
            "-c",
            str(folder / "nginx.conf"),
        ]
        process = subprocess.Popen([*command, "-e", str(folder / "error.log")])
        try:
            running = Nginx(port, tls_port, folder / "certificate.pem")
            wait_until_it_answers(f"{running.url}/_status")
            yield running
        finally:
            process.terminate()
            process.wait()


def _configuration(folder: Path, port: int, tls_port: int, latency_ms: int) -> str:
    return CONFIGURATION.format(
        load="\n".join(f"load_module {MODULES / name};" for name in NEEDED),
        user="user root;" if folder.owner() == "root" else "",
        folder=folder,
        port=port,
        tls_port=tls_port,
        shared=SHARED,
        etag=ETAG,
        body="x" * SIZE,
        copied=COPIED,
        sleep=f"echo_sleep {latency_ms / 1000};" if latency_ms else "",
    )


def _make_certificate(folder: Path) -> None:
    """Make a certificate for HOST and every name below it, which is its own authority; libcurl finds both on the loopback."""
    names = f"subjectAltName=DNS:{HOST},DNS:*.{HOST}"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command = ["openssl", "req", "-x509", *key, "-days", "2", "-subj", f"/CN={HOST}", "-addext", names, *files]
    subprocess.run(command, check=True, capture_output=True)


def _write_listings(folder: Path, objects: int) -> None:
    folder.mkdir()
    _write_listing(folder / SHARED, objects)
    _write_listing(folder / "none", 0)


def _write_listing(path: Path, objects: int) -> None:
    """Write the page key by key: 100,000 of them in memory would weigh more than a client."""
    begin, _, end = LISTED.format(bucket=path.name, count=objects, entries="|").partition("|")
    entry = (
        f"<LastModified>{MODIFIED}</LastModified><ETag>&quot;{ETAG}&quot;</ETag><Size>{SIZE}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )
    with path.open("w") as page:
        page.write(begin)
        page.writelines(f"<Contents><Key>{shared_key(number)}</Key>{entry}" for number in range(objects))
        page.write(end)
