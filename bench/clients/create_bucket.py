"""`python -m bench.clients.create_bucket`: create the bucket that the copies go to."""

import boto3
from botocore.config import Config

from bench.stub.storage import TARGET

boto3.client("s3", config=Config(s3={"addressing_style": "path"})).create_bucket(Bucket=TARGET)
