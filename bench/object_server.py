"""A server of objects that costs next to nothing: nginx takes whatever is put, and serves one small and one large object.

It reads each body to its end, remembers nothing, checks no signature and answers as S3 does. One worker, one core.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measuring import SERVER_CORE
from bench.nginx import ETAG, MODULES, NEEDED, PROGRAM
from bench.servers import wait_until_it_answers
from rehouse.sandbox.process import free_port

BUCKET = "bench-home"
SMALL, LARGE = "documents/small.bin", "documents/large.bin"
SMALL_BYTES = 4096
NAMED = f"<Bucket>{BUCKET}</Bucket><Key>k</Key>"
UPLOAD = f"<InitiateMultipartUploadResult>{NAMED}<UploadId>u1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = f"<CompleteMultipartUploadResult>{NAMED}<ETag>&quot;{ETAG}-1&quot;</ETag></CompleteMultipartUploadResult>"
CONFIGURATION = """
{load}
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; types {{ }} default_type application/octet-stream;
  sendfile on; tcp_nopush on; client_max_body_size 0; client_body_buffer_size 32m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  map $args $said {{ "~^uploads" "{upload}"; default "{completed}"; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024; root {folder}/objects;
    location / {{
      if ($request_method = PUT) {{ return 418; }}
      if ($request_method = POST) {{ return 419; }}
    }}
    error_page 418 =200 @put;
    error_page 419 =200 @post;
    location @put {{
      more_clear_input_headers If-None-Match If-Match; more_set_headers 'ETag: "{etag}"';
      echo_read_request_body; echo -n '';
    }}
    location @post {{
      more_clear_input_headers If-None-Match If-Match; more_set_headers 'Content-Type: application/xml';
      echo_read_request_body; echo -n $said;
    }}
  }}
}}
"""


@contextmanager
def object_server(large_bytes: int) -> Iterator[str]:
    """Run the server on a core of its own; yield its URL."""
    with tempfile.TemporaryDirectory(prefix="rehouse-bench-objects-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for key, size in ((SMALL, SMALL_BYTES), (LARGE, large_bytes)):
            path = folder / "objects" / BUCKET / key
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(size)
        port = free_port()
        (folder / "nginx.conf").write_text(
            CONFIGURATION.format(
                load="\n".join(f"load_module {MODULES / module};" for module in NEEDED),
                user="user root;" if folder.owner() == "root" else "",
                folder=folder, port=port, etag=ETAG, upload=UPLOAD, completed=COMPLETED,
            )
        )  # fmt: skip
        command = ["taskset", "--cpu-list", str(SERVER_CORE), str(PROGRAM), "-p", name, "-c", f"{name}/nginx.conf"]
        process = subprocess.Popen([*command, "-e", f"{name}/error.log"])
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_it_answers(f"{url}/{BUCKET}/{SMALL}")
            yield url
        finally:
            process.terminate()
            process.wait()
