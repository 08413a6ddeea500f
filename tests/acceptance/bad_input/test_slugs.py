"""Slugs: an unknown one is refused with near ones; a real one is moved, whatever it looks like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.bad_input import assert_refused, run_here
from tests.support.data_room import Room

UNKNOWN = {
    "acme-crop": "did you mean acme-corp?",
    "ACME-CORP": "did you mean acme-corp?",
    "nobody": "`rehouse status`",
    "x" * 200: "`rehouse status`",
    "Acme.Corp": "acme-corp",
    "🦊": "`rehouse status`",
    "'; DROP TABLE tenants; --": "`rehouse status`",
    "a\nb\x1b[31m": "`rehouse status`",
}


@pytest.mark.parametrize("slug", UNKNOWN)
def test_an_unknown_slug_is_refused_with_near_ones(room: Room, slug: str, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (("migrate", slug), ("migrate-all", "--only", slug)):
        assert_refused(room, run_here(room, arguments, {}, capfd), "there is no tenant", repr(slug), UNKNOWN[slug])


@pytest.mark.parametrize("slug", ["globe", ""])
def test_every_command_refuses_an_unknown_slug(room: Room, slug: str, capfd: pytest.CaptureFixture[str]) -> None:
    commands = [("verify", slug), ("status", slug), ("plan", slug), ("migrate", slug, "--dry-run")]
    commands += [
        ("accept", slug, "d", "--reason", "x"),
        ("migrate-all", "--exclude", slug),
        ("verify-all", "--only", slug),
    ]
    for arguments in commands:
        assert_refused(room, run_here(room, arguments, {}, capfd), "there is no tenant", repr(slug))


def test_an_unknown_slug_is_refused_by_the_real_command(room: Room) -> None:
    assert_refused(room, room.run("migrate", "acme-crop"), "'acme-crop'", "did you mean acme-corp")


ODD_SLUGS = [
    "s" * 200,
    "Acme.Corp.EU",
    "🦊🦊",
    "'; DROP TABLE tenants; --",
    "-dash-in-front",
    " spaces ",
    "a/b?c#d%41",
    "xn--acme",
]


def test_whatever_a_tenants_slug_is_its_migration_works(new_room: Callable[..., Room]) -> None:
    """A slug in the database is no input that could be refused: the bucket's name is made valid."""
    odd = new_room("integer")
    storage = odd.server.root()
    for number, slug in enumerate(ODD_SLUGS, 1):
        odd.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", number, slug, slug)
        odd.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size)"
            " VALUES (%s, %s, 'a.pdf', 'a.pdf', %s, %s, 3)",
            f"d{number}", number, odd.shared, f"k{number}",
        )  # fmt: skip
        storage.put_object(Bucket=odd.shared, Key=f"k{number}", Body=slug.encode())
    first = odd.run("migrate", "--", "'; DROP TABLE tenants; --")
    assert first.returncode == 0, first.stdout + first.stderr
    second = odd.run("migrate-all", "--output", "json")
    assert second.returncode == 0, second.stdout + second.stderr
    assert odd.run("verify", "--", "-dash-in-front").returncode == 0
    rows = odd.rows(
        "SELECT t.slug, t.aws_bucket_name, d.s3_bucket, d.s3_key FROM tenants t JOIN documents d ON d.tenant_id = t.id"
    )
    assert sorted(slug for slug, *_ in rows) == sorted(ODD_SLUGS)
    for slug, home, bucket, key in rows:
        assert home == bucket
        assert home.startswith(f"{odd.prefix}-")
        assert storage.get_object(Bucket=bucket, Key=key)["Body"].read() == slug.encode()
    assert len({home for _, home, *_ in rows}) == len(ODD_SLUGS)
