"""Start the data room on `rehouse sandbox`, whose variables are in the environment: `scripts/example` does both."""

from __future__ import annotations

import os
import sys

import boto3
import uvicorn
from app import create_app

from rehouse import TenantStorage


def main() -> None:
    """Let the page's origin use the shared bucket, as your own page may already, and serve the page."""
    port = int(sys.argv[1])
    origin, s3 = f"http://127.0.0.1:{port}", os.environ["AWS_ENDPOINT_URL_S3"]
    administrator = boto3.Session(profile_name="administrator").client("s3", endpoint_url=s3)
    rule = {"AllowedOrigins": [origin], "AllowedMethods": ["GET", "PUT", "POST"], "AllowedHeaders": ["*"]}
    rules = {"CORSRules": [{**rule, "ExposeHeaders": ["ETag"]}]}
    administrator.put_bucket_cors(Bucket=os.environ["REHOUSE_SHARED_BUCKET"], CORSConfiguration=rules)
    with TenantStorage.open() as storage:
        print(f"The data room: {origin}", file=sys.stderr, flush=True)
        uvicorn.run(create_app(storage, s3), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
