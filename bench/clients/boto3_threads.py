"""`python -m bench.clients.boto3_threads --objects N`: the copy that everybody writes first, boto3 in a pool of threads."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from bench.stub.storage import SHARED, TARGET, shared_key


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.clients.boto3_threads")
    parser.add_argument("--objects", type=int, required=True)
    parser.add_argument("--threads", type=int, default=64)
    options = parser.parse_args()
    client = boto3.client("s3", config=Config(max_pool_connections=options.threads, s3={"addressing_style": "path"}))

    def copy(number: int) -> None:
        key = shared_key(number)
        client.copy_object(Bucket=TARGET, Key=key, CopySource={"Bucket": SHARED, "Key": key})

    with ThreadPoolExecutor(options.threads) as pool:
        for _ in pool.map(copy, range(options.objects)):
            pass


if __name__ == "__main__":
    main()
