"""What an older tool got wrong, fault by fault: each of these tests fails on it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.support import independent_check
from tests.support.data_room import Room

KEYS = ("plus+plus", "plus plus", "100% sure", "100%25 sure", "what?versionId=null", "hash#tag", "ünï/文件.pdf", "a  b")
LARGE = os.urandom(1024) * 6 * 1024
FIVE_MIB = str(5 * 1024**2)
DRESS: dict[str, Any] = {
    "ContentType": "text/x-odd",
    "CacheControl": "private, max-age=7",
    "ContentDisposition": "attachment; filename*=UTF-8''%C3%BC.pdf",
    "ContentEncoding": "identity",
    "ContentLanguage": "de",
    "Metadata": {"uploaded-by": "somebody", "original-name": "%C3%BC.pdf"},
    "Tagging": "department=legal&retention=7%20years",
}


class Faults:
    """The room before and after one run over documents that the older tool would have broken."""

    def __init__(self, room: Room) -> None:
        self.room, self.root = room, room.server.root()
        self.unprotected, self.promised = f"{room.prefix}-adopted-0a1b2c3d", f"{room.prefix}-promised-0a1b2c3d"
        for slug, home in (
            ("default-org", room.shared),
            ("adopted", self.unprotected),
            ("promised", self.promised),
            ("stuck", None),
        ):
            room.execute("INSERT INTO tenants (name, slug, aws_bucket_name) VALUES (%s, %s, %s)", slug, slug, home)
        self.root.create_bucket(Bucket=self.unprotected)
        for number, key in enumerate(KEYS):
            self.document("default-org", f"key-{number}", key, f"body of {key}".encode(), name="Größe 📈.pdf")
        self.document("default-org", "dressed", "dressed", b"dressed", **DRESS)
        self.document("default-org", "large", "large", LARGE, **DRESS)
        for slug in ("adopted", "promised", "stuck"):
            self.document(slug, slug, f"of {slug}", slug.encode())
        self.document("stuck", "lost", "lost", None)
        self.before = independent_check.snapshot(room.url, self.root, room.shared)
        self.run = room.run(
            "migrate-all", REHOUSE_MULTIPART_THRESHOLD_BYTES=FIVE_MIB, REHOUSE_MULTIPART_PART_BYTES=FIVE_MIB
        )
        self.after = independent_check.outcome(room.url, self.root, room.shared)

    def document(
        self, slug: str, document_id: str, key: str, body: bytes | None, *, name: str = "a.pdf", **dress: Any
    ) -> None:
        if body is not None:
            self.root.put_object(Bucket=self.room.shared, Key=key, Body=body, **dress)
        self.room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "SELECT %s, id, %s, 'x', %s, %s, 1, '2024-01-01' FROM tenants WHERE slug = %s",
            document_id, name, self.room.shared, key, slug,
        )  # fmt: skip

    def moved(self, document_id: str) -> Any:
        """GET the document where its row points now."""
        row = self.after.now.documents[document_id]
        assert row["s3_bucket"] != self.room.shared
        return self.root.get_object(Bucket=row["s3_bucket"], Key=row["s3_key"])

    def tags(self, document_id: str) -> dict[str, str]:
        """Return the tags of the document where its row points now."""
        row = self.after.now.documents[document_id]
        found = self.root.get_object_tagging(Bucket=row["s3_bucket"], Key=row["s3_key"])["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}


@pytest.fixture(scope="module")
def faults(new_room) -> Faults:
    return Faults(new_room("older_tool"))


def test_everything_else_is_well_too(faults: Faults) -> None:
    moved = independent_check.check(faults.before, faults.after)
    assert moved == {"default-org": len(KEYS) + 2, "adopted": 1, "promised": 1, "stuck": 1}


def test_1_the_source_is_not_deleted(faults: Faults) -> None:
    assert faults.after.now.objects == faults.before.objects
    assert faults.after.now.versions == faults.before.versions


def test_2_odd_keys_are_copied_from_the_right_object(faults: Faults) -> None:
    for number, key in enumerate(KEYS):
        assert faults.moved(f"key-{number}")["Body"].read() == f"body of {key}".encode()


@pytest.mark.parametrize("document_id", ["dressed", "large"])
def test_3_headers_metadata_and_tags_go_along_as_they_are(faults: Faults, document_id: str) -> None:
    found = faults.moved(document_id)
    for header, value in DRESS.items():
        if header != "Tagging":
            assert found[header] == value, header
    assert faults.tags(document_id) == {"department": "legal", "retention": "7 years"}


def test_4_default_org_leaves_the_shared_bucket(faults: Faults) -> None:
    home = faults.room.rows("SELECT aws_bucket_name FROM tenants WHERE slug = 'default-org'")[0][0]
    assert home != faults.room.shared
    assert home.startswith(f"{faults.room.prefix}-default-org-")


@pytest.mark.not_on_ceph(
    "Ceph blocks every upload under BlockPublicAcls, misreads our policy and has no access logging"
)
@pytest.mark.parametrize("which", ["unprotected", "promised"])
def test_5_a_half_made_bucket_is_finished(faults: Faults, which: str) -> None:
    home = getattr(faults, which)
    assert home in faults.after.homes.values()
    found = independent_check.configuration(faults.root, home)
    assert all(found["public"].values())
    assert found["versioning"] == "Enabled"
    assert found["lifecycle"]
    assert found["policy"]
    assert found["logging"]


def test_6_nothing_is_completed_with_errors_in_the_run(faults: Faults) -> None:
    assert faults.run.returncode == 3
    assert "Errors: 1" in faults.run.stdout
    statuses = dict(faults.room.rows("SELECT slug, status FROM s3_migrations m JOIN tenants t ON t.id = m.tenant_id"))
    assert statuses.pop("stuck") == "failed"
    assert set(statuses.values()) == {"completed"}


def test_7_an_object_above_the_limit_of_one_copy_goes_in_parts(faults: Faults) -> None:
    found = faults.moved("large")
    assert found["Body"].read() == LARGE
    assert found["ETag"].strip('"').endswith("-2")
    row = faults.after.now.documents["large"]
    assert faults.root.list_multipart_uploads(Bucket=row["s3_bucket"]).get("Uploads", []) == []


def test_8_verification_looks_at_the_objects(faults: Faults) -> None:
    row = faults.after.now.documents["promised"]
    assert faults.room.run("verify", "promised").returncode == 0
    faults.root.delete_object(Bucket=row["s3_bucket"], Key=row["s3_key"])
    try:
        done = faults.room.run("verify", "promised")
        assert done.returncode == 1
        assert "missing" in done.stdout
    finally:
        faults.root.put_object(Bucket=row["s3_bucket"], Key=row["s3_key"], Body=b"promised")


def test_9_no_origin_is_a_star(faults: Faults) -> None:
    for home in faults.after.homes.values():
        rules = independent_check.configuration(faults.root, home)["cors"]
        assert all("*" not in origin for rule in rules for origin in rule["AllowedOrigins"])
        preflight = faults.root.get_bucket_cors(Bucket=home)["CORSRules"]
        assert preflight


def test_9_a_star_in_the_settings_is_refused(faults: Faults) -> None:
    done = faults.room.run("migrate", "stuck", REHOUSE_CORS_ORIGINS="*")
    assert done.returncode == 2
    assert "REHOUSE_CORS_ORIGINS" in done.stderr
