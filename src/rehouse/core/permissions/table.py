"""The rights as one table: which role needs which IAM actions, on which resource, for which step.

The names of IAM actions and API calls differ: there is no s3:PutBucketEncryption, HeadBucket needs s3:ListBucket, and
CopyObject needs the actions of a read and of a write. The table holds only actions that a request of the role needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Role = Literal["provision", "migrate", "rollback", "finish", "application", "log-bucket"]


class Resource(StrEnum):
    """The kinds of resource to which a right applies."""

    SHARED_BUCKET = "shared bucket"
    SHARED_OBJECTS = "objects of the shared bucket"
    TENANT_BUCKETS = "tenant buckets"
    TENANT_OBJECTS = "objects of the tenant buckets"
    PROBE_BUCKET = "the probe's scratch bucket"
    PROBE_OBJECTS = "objects of the probe's scratch bucket"
    LOG_BUCKET = "log bucket"
    KEY = "the KMS key"
    KEY_ALIAS = "the alias of the KMS key"
    SOURCE_KEYS = "the KMS keys of the shared bucket"
    TENANT_ROLE = "the role for credentials of one tenant"
    ANY = "everything"


@dataclass(frozen=True, slots=True)
class Permission:
    """One row: these roles need these actions on that kind of resource, for this step.

    `is_of_storage`: only an application that keeps its documents through `TenantStorage` needs them.
    """

    roles: tuple[Role, ...]
    actions: tuple[str, ...]
    resource: Resource
    why: str
    is_of_storage: bool = False


def _s3(*names: str) -> tuple[str, ...]:
    return tuple(f"s3:{name}" for name in names)


def _get(*names: str) -> tuple[str, ...]:
    return tuple(f"s3:Get{name}" for name in names)


def _put(*names: str) -> tuple[str, ...]:
    return tuple(f"s3:Put{name}" for name in names)


_PROTECTION = (
    "BucketPublicAccessBlock",
    "BucketOwnershipControls",
    "BucketPolicy",
    "EncryptionConfiguration",
    "BucketTagging",
)
_USE = ("BucketVersioning", "LifecycleConfiguration", "BucketCORS", "BucketLogging", "MetricsConfiguration")
_LOGS = (*_PROTECTION, "LifecycleConfiguration")
_CREATION = _s3("CreateBucket", "TagResource", "ListBucket")
_WRITING = _s3("PutObject", "PutObjectTagging", "PutObjectVersionTagging", "AbortMultipartUpload")
"""The actions of a copy, in one request or in parts, with its tags; a failed upload is aborted."""
_APPLICATION = _s3("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload", "ListMultipartUploadParts")
_STORAGE = _s3("GetObjectVersion", "GetObjectTagging", "GetObjectVersionTagging", "PutObjectTagging")
"""The actions of a copy that confirms an upload, and of one that brings an older version back."""
_STORAGE_LISTS = _s3("ListBucket", "ListBucketVersions", "ListBucketMultipartUploads")

TABLE: tuple[Permission, ...] = (
    Permission(("provision",), _s3("ListAllMyBuckets"), Resource.ANY, "find the owner of a bucket; count the buckets"),
    Permission(
        ("provision",),
        _CREATION + _get(*_PROTECTION, *_USE) + _put(*_PROTECTION, *_USE),
        Resource.TENANT_BUCKETS,
        "provision, audit: make a tenant's bucket match its specification and read it back",
    ),
    Permission(
        ("provision",),
        _s3("ListBucket") + _get(*_LOGS, "BucketObjectLockConfiguration"),
        Resource.LOG_BUCKET,
        "check whether S3 can deliver access logs into the log bucket",
    ),
    Permission(
        ("log-bucket",),
        _CREATION + _get(*_LOGS, "BucketObjectLockConfiguration") + _put(*_LOGS),
        Resource.LOG_BUCKET,
        "create the bucket of the access logs, once",
    ),
    Permission(("provision",), _s3("GetBucketCORS"), Resource.SHARED_BUCKET, "the origins that browsers upload from"),
    Permission(
        ("provision",),
        _s3("DeleteBucket", "ListBucketVersions", "ListBucketMultipartUploads"),
        Resource.PROBE_BUCKET,
        "doctor --probe removes its scratch bucket",
    ),
    Permission(
        ("provision",),
        _s3("DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload"),
        Resource.PROBE_OBJECTS,
        "doctor --probe empties its scratch bucket",
    ),
    Permission(
        ("provision", "migrate"),
        ("servicequotas:GetServiceQuota", "iam:SimulatePrincipalPolicy", "iam:GetRole"),
        Resource.ANY,
        "doctor: the bucket quota, and rights that cannot be tested without side effects (all optional)",
    ),
    Permission(
        ("migrate",),
        _get(
            "BucketVersioning",
            "BucketNotification",
            "ReplicationConfiguration",
            "InventoryConfiguration",
            "BucketObjectLockConfiguration",
            "LifecycleConfiguration",
            "BucketPolicy",
            "BucketCORS",
            "BucketAcl",
            "EncryptionConfiguration",
            "BucketLogging",
            "BucketWebsite",
            "AccelerateConfiguration",
        ),
        Resource.SHARED_BUCKET,
        "doctor: what the shared bucket does that the new ones would not",
    ),
    Permission(
        ("finish",),
        _get("BucketVersioning"),
        Resource.SHARED_BUCKET,
        "finish: check whether a removal keeps older versions",
    ),
    Permission(("migrate", "rollback", "finish"), _s3("ListBucket"), Resource.SHARED_BUCKET, "plan, verify: list"),
    Permission(
        ("migrate",),
        _s3("GetObject", "GetObjectTagging"),
        Resource.SHARED_OBJECTS,
        "copy: read the source and its tags; cutover: check it once more",
    ),
    Permission(
        ("migrate", "rollback", "finish"),
        _s3("ListBucket"),
        Resource.TENANT_BUCKETS,
        "verify: list the target; check whether the object is still as it was copied",
    ),
    Permission(
        ("migrate",),
        _get(*_PROTECTION, *_USE),
        Resource.TENANT_BUCKETS,
        "verify: compare the bucket's settings",
    ),
    Permission(
        ("migrate",),
        _WRITING + _s3("GetObject", "GetObjectTagging"),
        Resource.TENANT_OBJECTS,
        "copy: write the target; verify: read it",
    ),
    Permission(
        ("migrate", "application"),
        ("kms:Decrypt", "kms:GenerateDataKey"),
        Resource.KEY,
        "encrypt copies and uploads under the KMS key, and read them",
    ),
    Permission(
        ("rollback", "finish"), ("kms:Decrypt",), Resource.KEY, "read the objects that a rollback or finish copies back"
    ),
    Permission(("provision", "migrate"), ("kms:DescribeKey",), Resource.KEY_ALIAS, "find the key of an alias"),
    Permission(("migrate",), ("kms:Decrypt",), Resource.SOURCE_KEYS, "read the sources"),
    Permission(
        ("rollback", "finish", "application"),
        ("kms:Decrypt", "kms:GenerateDataKey"),
        Resource.SOURCE_KEYS,
        "write to the shared bucket under its KMS key, and read it",
    ),
    Permission(
        ("rollback",),
        _WRITING + _s3("GetObject", "GetObjectTagging"),
        Resource.SHARED_OBJECTS,
        "rollback: check the source; copy back what was uploaded into the tenant's bucket, or find it copied already",
    ),
    Permission(
        ("rollback", "finish"),
        _s3("GetObject", "GetObjectTagging"),
        Resource.TENANT_OBJECTS,
        "read the objects that a rollback or finish copies back",
    ),
    Permission(
        ("finish",),
        _WRITING + _s3("DeleteObject", "DeleteObjectVersion", "GetObject"),
        Resource.SHARED_OBJECTS,
        "remove the source after the grace, and put it back if a row still points to it",
    ),
    Permission(
        ("finish",),
        _s3("GetBucketVersioning", "ListBucketVersions", "ListBucketMultipartUploads", "DeleteBucket"),
        Resource.SHARED_BUCKET,
        "cleanup: list what is left; delete the bucket",
    ),
    Permission(
        ("finish",),
        _s3("DeleteBucket", "ListBucketVersions", "ListBucketMultipartUploads", "GetBucketPolicy", "PutBucketPolicy"),
        Resource.TENANT_BUCKETS,
        "rollback --drop-bucket: close the bucket, look at every version, remove it once it is empty",
    ),
    Permission(
        ("finish",),
        _s3("DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload"),
        Resource.TENANT_OBJECTS,
        "rollback --drop-bucket: empty it first, with every version and open upload",
    ),
    Permission(
        ("application",), _APPLICATION, Resource.SHARED_OBJECTS, "the application, until its tenants are cut over"
    ),
    Permission(("application",), _APPLICATION, Resource.TENANT_OBJECTS, "the application, from the cutover on"),
    Permission(
        ("application",),
        ("sts:AssumeRole", "sts:TagSession"),
        Resource.TENANT_ROLE,
        "isolation: credentials of one tenant, narrowed by a session policy",
        is_of_storage=True,
    ),
    *(
        Permission(("application",), actions, resource, f"TenantStorage, in the {resource}: {step}", is_of_storage=True)
        for actions, step, resources in (
            (_STORAGE, "confirm, undelete, copy", (Resource.SHARED_OBJECTS, Resource.TENANT_OBJECTS)),
            (
                _STORAGE_LISTS,
                "404 for what is missing, versions, open uploads",
                (Resource.SHARED_BUCKET, Resource.TENANT_BUCKETS),
            ),
        )
        for resource in resources
    ),
)
