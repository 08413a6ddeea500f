"""`python -m bench.stub --port 9000 --objects 100000`: serve until SIGTERM."""

from __future__ import annotations

import argparse

from bench.stub.allowance import Allowance, Unlimited
from bench.stub.server import Server
from bench.stub.service import Service
from bench.stub.storage import Storage


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stub", description="A fast S3 stub with state.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--objects", type=int, default=0, help="objects in the bucket `shared`, made up when asked for")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="every answer is held back this long")
    parser.add_argument("--rate", type=float, help="requests on objects allowed a second; above it 503 SlowDown")
    parser.add_argument("--doubling-seconds", type=float, help="--rate is where it starts, and it doubles this often")
    parser.add_argument("--highest-rate", type=float, default=3500.0, help="where the doubling ends")
    options = parser.parse_args()
    allowance = Unlimited()
    if options.rate:
        allowance = Allowance(options.rate, options.doubling_seconds, options.highest_rate)
    service = Service(Storage(options.objects), allowance)
    Server(options.port, service.answer, options.latency_ms / 1000).serve()


if __name__ == "__main__":
    main()
