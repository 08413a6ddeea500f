"""What a migration has now that a saved plan does not have, and the file's text there and back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse import config
from rehouse.config.sections import Prices
from rehouse.core.saved_plan import (
    SCHEMA_VERSION,
    SETTINGS,
    Database,
    Difference,
    PlannedTenant,
    SavedPlan,
    as_json,
    describe,
    differences,
    from_json,
    is_plan,
)

OTHER_SETTINGS = {
    *(
        "database_url",
        "database_password_command",
        "shared_bucket",
        "application_profile",
        "role_arn",
        "log_file",
        "grace_days",
    ),
    *("max_in_flight", "max_rate", "batch_size", "multipart_threshold_bytes", "multipart_part_bytes"),
    *("routing_seconds", "upload_grant_seconds", "download_url_seconds", "serve_token", "serve_token_file"),
    *("mapping.tenants.max_storage_gb", "mapping.tenants.max_documents", "mapping.documents.by_key"),
    *("lock_timeout_ms", "lock_budget_ms", "finish.ignore_columns", "finish.table_seconds", "finish.table_mb"),
    *(f"prices.{name}" for name in Prices.model_fields),
}
"""Settings that a plan does not keep: secrets, pace, prices, what comes after the migration. shared_bucket is kept beside them."""

ACME = PlannedTenant("acme", 1, True, "saas-acme-xxxxxxxx", 3, 2, 20, {"missing_object": 1})
HOOLI = PlannedTenant("hooli", 2, False, "saas-hooli-xxxxxxxx", 1, 1, 5, {})
THEN = SavedPlan(
    datetime(2026, 11, 1, tzinfo=UTC),
    Database("app", "77"),
    ("shared", "older"),
    {"encryption": "AES256", "cors_origins": ""},
    (ACME, HOOLI),
)


def with_acme(**changes: object) -> SavedPlan:
    return replace(THEN, tenants=(replace(ACME, **changes), HOOLI))  # type: ignore[arg-type]


def test_every_setting_matters_or_not() -> None:
    assert {*SETTINGS} & OTHER_SETTINGS == set()
    assert {*SETTINGS} | OTHER_SETTINGS == {*config.leaves()}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (THEN, ""),
        (replace(THEN, tenants=(ACME,)), ""),
        (replace(THEN, tenants=()), ""),
        (replace(THEN, shared_buckets=("shared",)), ""),
        (replace(THEN, database=Database("app")), ""),
        (with_acme(documents=9, to_copy=9, to_copy_bytes=9, problems={"missing_object": 7}), ""),
        (with_acme(problems={}), ""),
        (with_acme(home_bucket="saas-acme-1f0c9a7e"), ""),
        (with_acme(is_active=False), ""),
        (with_acme(slug="acme-corp"), ""),
        (
            replace(THEN, database=Database("app", "78"), shared_buckets=("another",)),
            "the plan is for the database app (cluster 77), and this is app (cluster 78)",
        ),
        (
            replace(THEN, database=Database("staging")),
            "the plan is for the database app (cluster 77), and this is staging (cluster unknown)",
        ),
        (replace(THEN, shared_buckets=("shared", "new")), "shared buckets that are not in the plan: new"),
        (
            replace(THEN, shared_buckets=("older", "shared")),
            "the first shared bucket, which rows without a bucket mean, was shared and is now older",
        ),
        (
            replace(THEN, settings={"encryption": "alias/k", "cors_origins": ""}),
            "the setting encryption was AES256 and is now alias/k",
        ),
        (
            replace(THEN, settings={**THEN.settings, "cors_origins": "https://a"}),
            "the setting cors_origins was empty and is now https://a",
        ),
        (
            replace(THEN, tenants=(*THEN.tenants, replace(ACME, tenant_id=3, slug="new"))),
            "tenants that are not in the plan: new",
        ),
        (
            replace(THEN, tenants=(ACME, replace(HOOLI, is_active=True))),
            "tenants that were inactive and are now active: hooli",
        ),
        (
            with_acme(home_bucket="own"),
            "tenants with another bucket: acme (saas-acme-xxxxxxxx, now own)",
        ),
        (
            with_acme(problems={"missing_object": 1, "archived": 4}),
            "problems that are not in the plan: archived (4 documents)",
        ),
    ],
)
def test_what_differs(now: SavedPlan, told: str) -> None:
    assert describe(differences(THEN, now)) == told


def test_all_differences_are_told_at_once() -> None:
    now = replace(
        with_acme(problems={"archived": 1}, home_bucket="own"),
        shared_buckets=("new",),
        settings={"encryption": "alias/k"},
    )
    assert len(describe(differences(THEN, now)).split("; ")) == 4


def test_many_names_are_cut_and_counted() -> None:
    found = [Difference("tenant", f"t{number}", None, "") for number in range(1000)]
    assert describe(found).endswith(", t19 and 980 more")


names = st.text("ab", min_size=1, max_size=2)
problems = st.dictionaries(st.sampled_from(["missing_object", "archived"]), st.integers(1, 3))
tenants = st.builds(
    PlannedTenant,
    slug=names,
    tenant_id=st.one_of(st.integers(1, 3), st.text(min_size=1, max_size=3)),
    is_active=st.booleans(),
    home_bucket=st.sampled_from(["a-xxxxxxxx", "a-01234567", "b"]),
    documents=st.integers(0, 3),
    to_copy=st.integers(0, 3),
    to_copy_bytes=st.integers(0, 10**15),
    problems=problems,
)
plans = st.builds(
    SavedPlan,
    made_at=st.datetimes(timezones=st.just(UTC)),
    database=st.builds(Database, names, st.none() | names),
    shared_buckets=st.lists(names, unique=True, max_size=3).map(tuple),
    settings=st.fixed_dictionaries({"encryption": st.text(max_size=3), "region": names}),
    tenants=st.lists(tenants, max_size=3, unique_by=lambda each: str(each.tenant_id)).map(tuple),
)


@given(plans)
def test_a_plan_differs_not_from_itself(plan: SavedPlan) -> None:
    assert differences(plan, plan) == []


@given(plans, st.data())
def test_less_than_the_plan_is_no_difference(plan: SavedPlan, data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(plan.tenants), unique_by=id)) if plan.tenants else []
    shared = plan.shared_buckets[:1]
    assert differences(plan, replace(plan, tenants=tuple(kept), shared_buckets=shared)) == []


@given(plans, plans)
def test_whatever_is_new_is_told(then: SavedPlan, now: SavedPlan) -> None:
    found = differences(then, now)
    if any(each.subject == "database" for each in found):
        return
    told = {(each.subject, each.name) for each in found}
    known = {str(tenant.tenant_id) for tenant in then.tenants}
    assert {("tenant", each.slug) for each in now.tenants if str(each.tenant_id) not in known} <= told
    assert {("shared_bucket", each) for each in {*now.shared_buckets} - {*then.shared_buckets}} <= told
    assert {("problem", each) for each in {*now.problems} - {*then.problems}} <= told
    assert {("setting", name) for name in now.settings if now.settings[name] != then.settings[name]} <= told
    assert bool(describe(found)) is bool(found)


@given(plans)
def test_the_file_gives_the_plan_back(plan: SavedPlan) -> None:
    assert from_json(as_json(plan)) == plan


@given(plans, st.sampled_from([None, 7, "x", [], [3], {}, {"x": 1}]), st.data())
def test_a_damaged_file_is_an_error_of_ours(plan: SavedPlan, wrong: object, data: st.DataObject) -> None:
    value = json.loads(as_json(plan))
    name = data.draw(st.sampled_from(sorted(value)))
    value[name] = wrong
    if value["tenants"] and isinstance(value["tenants"], list) and isinstance(value["tenants"][0], dict):
        value["tenants"][0][data.draw(st.sampled_from(sorted(value["tenants"][0])))] = wrong
    try:
        from_json(json.dumps(value))
    except ValueError as error:
        assert str(error).startswith("it") and "Traceback" not in str(error)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it is not a plan of rehouse"),
        ("[]", "it is not a plan of rehouse"),
        ('{"tenants": []}', "it is not a plan of rehouse"),
        ("[" * 100_000, "it is not a plan of rehouse"),
        ('{"kind": "rehouse plan"}', f"its schema version is None, and this rehouse reads {SCHEMA_VERSION}"),
        ('{"kind": "rehouse plan", "schema_version": 2}', "its schema version is 2, and this rehouse reads 1"),
        ('{"kind": "rehouse plan", "schema_version": 1}', "it is damaged: made_at is missing or of another type"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        from_json(text)
    assert is_plan(text) is text.startswith('{"kind"')
