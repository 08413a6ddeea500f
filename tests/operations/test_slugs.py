"""Slugs as databases have them: missing, empty, shared by two tenants, equal but for case, or another tenant's id."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.data_room import Room

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.audit import audit
from rehouse.operations.cleanup import cleanup
from rehouse.operations.finish import finish_all
from rehouse.operations.migrate import migrate_all
from rehouse.operations.plan import plan
from rehouse.operations.rollback import roll_back_all, roll_back_one
from rehouse.operations.selection import choose_tenants
from rehouse.operations.services import Services
from rehouse.operations.status import overview, tenant_status
from rehouse.operations.uninstall import uninstall

SLUGS = {1: "acme", 2: "acme", 3: None, 4: "", 5: "Globex", 6: "globex", 7: "3", 8: "own"}
CALLED = {1: "1", 2: "2", 3: "id:3", 4: "4", 5: "Globex", 6: "globex", 7: "7", 8: "own"}


@pytest.fixture
def strange(room: Room) -> Room:
    """A room whose tenants' slugs are of every kind, each with one document; their ids are the same but for the tenant."""
    room.sql("DELETE FROM tenants")
    room.sql("ALTER TABLE tenants DROP CONSTRAINT tenants_slug_key, ALTER slug DROP NOT NULL")
    room.sql("ALTER TABLE documents DROP CONSTRAINT documents_pkey, ADD UNIQUE (tenant_id, id)")
    for tenant_id, slug in SLUGS.items():
        room.sql(
            "INSERT INTO tenants (id, name, slug, is_active) VALUES (%s, 'T', %s, %s)", tenant_id, slug, tenant_id > 1
        )
        room.put(f"k/{tenant_id}", f"{tenant_id}".encode())
        room.sql(
            "INSERT INTO documents (id, tenant_id, s3_key, original_name, filename, size) VALUES ('d', %s, %s, 'a', 'f', 1)",
            tenant_id,
            f"k/{tenant_id}",
        )
    return room


def at_home(room: Room) -> set[int]:
    """Return the tenants whose documents are in a bucket of their own, each with its own bytes."""
    rows = room.sql("SELECT tenant_id, s3_bucket, s3_key FROM documents")
    for tenant_id, bucket, key in rows:
        assert room.root.get_object(Bucket=bucket or room.shared, Key=key)["Body"].read() == f"{tenant_id}".encode()
    homes = [bucket for _, bucket, _ in rows if bucket not in {None, room.shared}]
    assert len(set(homes)) == len(homes)
    return {tenant_id for tenant_id, bucket, _ in rows if bucket not in {None, room.shared}}


def test_a_shared_slug_is_refused_each_time_and_nothing_changes(strange: Room) -> None:
    for _ in range(2):
        with (
            pytest.raises(Refused, match=r"id 1 .* id 2 "),
            Services.open(strange.settings, writes=True, slugs=["acme"]),
        ):
            pass
    assert at_home(strange) == set()
    assert strange.sql("SELECT to_regclass('s3_migrations')") == [(None,)]


def test_a_slug_that_is_another_tenants_id_is_refused(strange: Room) -> None:
    with pytest.raises(Refused, match=r"id 7 .*by its slug; .* id 3 .*by its id"):
        strange.migrate("3")


@pytest.mark.parametrize("name", ["id:1", "1"])
def test_an_id_names_one_tenant_even_with_a_shared_slug(strange: Room, name: str) -> None:
    report = strange.migrate(name)
    assert (report.slug, report.tenant_id, report.status) == ("1", 1, Status.COMPLETED)
    assert at_home(strange) == {1}
    assert strange.sql("SELECT aws_bucket_name IS NULL FROM tenants WHERE id = 2") == [(True,)]
    assert str(report.home_bucket).startswith(f"{strange.settings.bucket_prefix}-acme-")
    tags = {each["Key"]: each["Value"] for each in strange.root.get_bucket_tagging(Bucket=report.home_bucket)["TagSet"]}
    assert (tags["tenant-id"], tags["tenant-slug"]) == ("1", "acme")


def test_every_command_for_all_takes_each_tenant_once_by_its_id(strange: Room) -> None:
    with strange.services() as services:
        tenants = choose_tenants(services, include_inactive=True)
        assert {each.id: each.slug for each in tenants} == CALLED
        made = migrate_all(services, tenants, parallel=3)
        assert {each.tenant_id: each.slug for each in made} == CALLED
        assert {each.status for each in made} == {Status.COMPLETED}
        assert at_home(strange) == SLUGS.keys()
        back = roll_back_all(services, services.ledger.tenants())
        assert {each.tenant_id for each in back} == SLUGS.keys()
        assert at_home(strange) == set()
        migrate_all(services, tenants)
        finished = finish_all(services, services.ledger.tenants(), grace=timedelta(0))
        assert {(each.tenant_id, each.phase) for each in finished} == {(each, Phase.FINISHED) for each in SLUGS}
    assert at_home(strange) == SLUGS.keys()
    with strange.services(writes=False) as services:
        assert audit(services).is_well


def test_only_and_exclude_take_ids_and_refuse_shared_slugs(strange: Room) -> None:
    with strange.services(writes=False) as services:
        assert {each.id for each in choose_tenants(services, only=["1", "id:3", "own"])} == {1, 3, 8}
        assert {each.id for each in choose_tenants(services, exclude=["2", "globex"])} == {3, 4, 5, 7, 8}
        with pytest.raises(Refused, match="names 2 tenants"):
            choose_tenants(services, exclude=["acme"])


def test_reports_call_a_tenant_as_commands_do(strange: Room) -> None:
    strange.migrate("id:3")
    with strange.services(writes=False) as services:
        assert {line.tenant_id: line.slug for line in overview(services.ledger)} == CALLED
        tenant = services.ledger.tenant("2")
        assert tenant_status(services.ledger, tenant).overview.tenant_id == 2
        planned = plan(services, services.ledger.tenants())
        assert {each.tenant_id: each.slug for each in planned.tenants} == CALLED
        assert {each.tenant_id: each.home_bucket for each in planned.tenants}[4].endswith("-4-xxxxxxxx")
        left = cleanup(services)[0].left
        assert {each.tenant_id: each.slug for each in left} == CALLED


def test_returned_keys_of_slugs_that_differ_in_case_differ(strange: Room) -> None:
    for slug in ("Globex", "globex"):
        strange.migrate(slug)
    for tenant_id in (5, 6):
        bucket, key = strange.sql("SELECT s3_bucket, s3_key FROM documents WHERE tenant_id = %s", tenant_id)[0]
        strange.root.put_object(Bucket=bucket, Key=key, Body=b"same")
    for slug in ("Globex", "globex"):
        with strange.services() as services:
            assert roll_back_one(services, services.ledger.tenant(slug)).copied == 1
    keys = [key for (key,) in strange.sql("SELECT s3_key FROM documents WHERE tenant_id IN (5, 6)")]
    assert len(set(keys)) == 2
    assert all(key.startswith("returned/globex") for key in keys)


def test_uninstall_names_tenants_as_commands_call_them(strange: Room) -> None:
    with strange.services() as services:
        migrate_all(services, services.ledger.tenants())
    with pytest.raises(Refused) as refused:
        uninstall(strange.settings, dry_run=True)
    assert all(f"{called} (cut_over, 1 moved)" in str(refused.value) for called in CALLED.values())
