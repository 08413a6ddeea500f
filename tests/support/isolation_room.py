"""A data room whose tenants have buckets of their own, and the role that the application assumes for each of them."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.support.data_room import Room

from rehouse.core.permissions.session_policy import session_arn
from rehouse.operations import init as initialising

_numbers = itertools.count(1)
ROLE = "arn:aws:iam::000000000000:role/"


def role_of_tenants(room: Room, resource: str = "*") -> str:
    """Create a role that may do everything on S3 within `resource`; return its ARN."""
    iam, name = room.server.root("iam"), f"tenants-{next(_numbers)}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]
    rights = {"Effect": "Allow", "Action": "s3:*", "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.put_role_policy(RoleName=name, PolicyName="storage", PolicyDocument=policy)
    return str(role["Arn"])


def give_homes(room: Room, count: int, *, versioned: bool = True) -> list[str]:
    """Add so many tenants, each with a bucket of its own and an object in it; return the buckets, in order of the slugs."""
    homes = []
    for number in range(count):
        homes.append(f"{room.prefix}-t{number:03}")
        room.tenant(f"t{number:03}", homes[-1])
        room.root.create_bucket(Bucket=homes[-1])
        if versioned:
            room.root.put_bucket_versioning(Bucket=homes[-1], VersioningConfiguration={"Status": "Enabled"})
        room.put("documents/1/a b+ü.txt", b"secret", homes[-1])
    initialising.initialise(room.settings)
    return homes


def widen(room: Room, bucket: str, *actions: str, principal: object = "*") -> None:
    """Let everybody, or a principal, do these actions in the bucket."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    allowed = {"Effect": "Allow", "Principal": principal, "Action": list(actions), "Resource": resources}
    _put_policy(room, bucket, allowed)


def session_of(room: Room, slug: str) -> dict[str, str]:
    """Return the session of a tenant as a principal: a policy that names it is not narrowed by a session policy."""
    [(tenant_id,)] = room.sql("SELECT id FROM tenants WHERE slug = %s", slug)
    return {"AWS": session_arn(str(room.settings.role_arn), tenant_id)}


def close_to_roles(room: Room, bucket: str) -> None:
    """Deny everything in the bucket to whoever has assumed a role."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    condition = {"StringLike": {"aws:PrincipalArn": ["*:role/*", "*:assumed-role/*"]}}
    denial = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources, "Condition": condition}
    _put_policy(room, bucket, denial)


def _put_policy(room: Room, bucket: str, statement: dict[str, Any]) -> None:
    document = {"Version": "2012-10-17", "Statement": [statement]}
    room.root.delete_public_access_block(Bucket=bucket)
    room.root.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))


def contents(room: Room, bucket: str) -> tuple[list[str], list[str], list[str]]:
    """Return the keys of all versions, of all delete markers and of all open uploads in a bucket."""
    page: Any = room.root.list_object_versions(Bucket=bucket)
    uploads: Any = room.root.list_multipart_uploads(Bucket=bucket)
    found = page.get("Versions", []), page.get("DeleteMarkers", []), uploads.get("Uploads", [])
    versions, markers, open_uploads = ([each["Key"] for each in part] for part in found)
    return versions, markers, open_uploads


def grant(room: Room, role: str, documents: dict[str, Any]) -> None:
    """Let a role do what these documents allow, and nothing else."""
    iam, name = room.server.root("iam"), role.rpartition("/")[2]
    iam.delete_role_policy(RoleName=name, PolicyName="storage")
    for policy, document in documents.items():
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=json.dumps(document))
