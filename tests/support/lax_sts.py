"""An STS that forgets the session policy of every AssumeRole, as a server that does not enforce session policies does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs

import boto3
from tests.support.http_relay import HttpRelay, Reply, Request

from rehouse.sandbox.s3_server import S3Server

ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{AccessKeyId}</AccessKeyId><SecretAccessKey>{SecretAccessKey}</SecretAccessKey>
<SessionToken>{SessionToken}</SessionToken><Expiration>{Expiration:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>
<AssumedRoleUser><AssumedRoleId>AROA:tenant</AssumedRoleId><Arn>arn:aws:sts::000000000000:assumed-role/lax/tenant</Arn>
</AssumedRoleUser><PackedPolicySize>1</PackedPolicySize></AssumeRoleResult></AssumeRoleResponse>"""


@contextmanager
def lax_sts(server: S3Server) -> Iterator[HttpRelay]:
    """Hold a relay in front of the server that assumes each role without the policy that was given."""
    client = boto3.session.Session().client("sts", endpoint_url=server.endpoint_url, region_name=server.region)

    def assume(request: Request) -> Reply | None:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if form.get("Action") != "AssumeRole":
            return None
        role = client.assume_role(RoleArn=form["RoleArn"], RoleSessionName=form["RoleSessionName"])
        return Reply(200, ANSWER.format(**role["Credentials"]).encode(), (("Content-Type", "text/xml"),))

    with HttpRelay(server.port) as relay:
        relay.before = assume
        yield relay
