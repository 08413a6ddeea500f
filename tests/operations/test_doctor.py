"""Doctor against real servers: what is fine, what is not, what cannot be known; nothing is changed by looking."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import Reply, Request
from tests.support.strict_relay import StrictRelay

from rehouse.config import Settings, load
from rehouse.core.errors import ConfigurationError
from rehouse.core.lifecycle import Phase
from rehouse.core.naming import target_key
from rehouse.core.permissions.policies import Scope, policy_documents
from rehouse.core.permissions.table import Role
from rehouse.ledger.installation import Installation
from rehouse.operations.checks.account import skew_seconds
from rehouse.operations.checks.database import SHORTEST_KEY, check_database
from rehouse.operations.checks.homes import check_homes
from rehouse.operations.checks.machine import check_machine
from rehouse.operations.checks.probe import check_by_probe
from rehouse.operations.checks.rights import check_rights
from rehouse.operations.checks.shared_bucket import check_shared_bucket
from rehouse.operations.doctor import Check, Group, Outcome, examine, exit_status, summary
from rehouse.operations.init import initialise
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server

_numbers = itertools.count(1)
Become = Callable[..., None]


@pytest.fixture
def settings(storage_settings: Settings, bucket: str, application_database: str, s3_server: S3Server) -> Settings:
    """Settings for a shared bucket with one object and an empty application database."""
    s3_server.root().put_object(Bucket=bucket, Key="a b+c.txt", Body=b"hello", Tagging="x=y")
    return storage_settings.model_copy(
        update={
            "database_url": SecretStr(application_database),
            "shared_bucket": (bucket,),
            "bucket_prefix": f"doctor-{next(_numbers)}",
            "cors_origins": ("https://app.example.com",),
        }
    )


@pytest.fixture
def become(settings: Settings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Become:
    """Return a function that makes a user with the policies of some roles the one who works."""

    def become(*roles: Role) -> None:
        documents = policy_documents(roles, Scope(settings.shared_bucket, settings.bucket_prefix))
        access_key, secret_key = s3_server.user(f"{settings.bucket_prefix}-{next(_numbers)}", documents)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)

    return become


def by_subject(checks: list[Check]) -> dict[str, Check]:
    found = {check.subject: check for check in checks}
    assert len(found) == len(checks), "two checks have one subject"
    return found


def with_outcome(checks: list[Check], outcome: Outcome) -> list[str]:
    return [check.subject for check in checks if check.outcome is outcome]


def buckets(s3_server: S3Server) -> list[str]:
    return [each["Name"] for each in s3_server.root().list_buckets()["Buckets"]]


def test_with_the_printed_rights_nothing_fails(settings: Settings, become: Become, s3_server: S3Server) -> None:
    become("provision", "migrate")
    before = buckets(s3_server)
    checks = list(examine(settings))
    assert with_outcome(checks, Outcome.FAILED) == []
    assert exit_status(checks) == 0
    assert with_outcome(checks, Outcome.COULD_NOT_CHECK) == ["S3: bucket quota"]
    assert buckets(s3_server) == before
    assert by_subject(checks)["database: rehouse's own tables"].outcome is Outcome.NOTICE
    assert None not in {check.group for check in checks}
    rights = [check.message for check in checks if check.group is Group.RIGHTS]
    assert rights
    assert not any("s3:" in detail for detail in rights), "actions are named where one is missing"


def test_every_finding_that_is_not_fine_says_what_to_do(settings: Settings, become: Become) -> None:
    become("application")
    for check in examine(settings, probe=True):
        assert check.message
        assert check.hint or check.outcome in {Outcome.OK, Outcome.COULD_NOT_CHECK, Outcome.NOTICE}


def test_the_probe_tries_the_writes_and_leaves_nothing(settings: Settings, become: Become, s3_server: S3Server) -> None:
    become("provision", "migrate")
    before = buckets(s3_server)
    checks = by_subject(list(examine(settings, probe=True)))
    assert [each for each, check in checks.items() if check.outcome is Outcome.FAILED] == []
    for subject in ("scratch bucket", "objects", "large objects", "copy from the shared bucket", "removal"):
        assert checks[f"probe: {subject}"].outcome is Outcome.OK
    assert checks["probe: conditions on the source"].outcome is Outcome.OK
    assert "not guarded" in checks["probe: conditions on the target"].message
    assert buckets(s3_server) == before


def test_the_probe_is_cleaned_up_if_nobody_takes_its_checks(
    settings: Settings, become: Become, s3_server: S3Server
) -> None:
    become("provision", "migrate")
    before = buckets(s3_server)
    examination = examine(settings, probe=True)
    for check in examination:
        if check.subject == "probe: objects":
            break
    assert len(buckets(s3_server)) == len(before) + 1
    examination.close()  # type: ignore[attr-defined]
    assert buckets(s3_server) == before


@pytest.mark.parametrize("role", ["provision", "migrate"])
def test_the_probe_leaves_nothing_even_without_all_rights(
    settings: Settings, become: Become, s3_server: S3Server, role: Role
) -> None:
    become(role)
    before = buckets(s3_server)
    control = Control(Session(settings))
    outcomes = {check.outcome for check in check_by_probe(settings, control, None)}
    assert Outcome.FAILED in outcomes
    assert buckets(s3_server) == before


def test_missing_rights_are_named(settings: Settings, become: Become) -> None:
    become("migrate")
    checks = list(check_rights(settings, Control(Session(settings)), probe=False))
    failures = [check for check in checks if check.outcome is Outcome.FAILED]
    assert any("s3:CreateBucket" in check.message for check in failures), checks
    assert all("iam-policy" in check.hint for check in failures)


def test_without_simulation_rights_could_not_be_checked(settings: Settings, storage_settings: Settings) -> None:
    # The tests' own user may do everything on S3 and nothing on IAM.
    checks = list(check_rights(settings, Control(Session(settings)), probe=False))
    assert {check.outcome for check in checks} == {Outcome.COULD_NOT_CHECK}
    assert all("--probe" in check.hint for check in checks)


def test_what_the_shared_bucket_does_is_told(settings: Settings, become: Become, s3_server: S3Server) -> None:
    root, shared = s3_server.root(), settings.shared_bucket[0]
    root.put_bucket_versioning(Bucket=shared, VersioningConfiguration={"Status": "Enabled"})
    events: dict[str, object] = {"EventBridgeConfiguration": {}}
    root.put_bucket_notification_configuration(Bucket=shared, NotificationConfiguration=events)  # type: ignore[arg-type]
    rule = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3650}}
    root.put_bucket_lifecycle_configuration(Bucket=shared, LifecycleConfiguration={"Rules": [rule]})  # type: ignore[list-item]
    cors = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.example.com"]}
    root.put_bucket_cors(Bucket=shared, CORSConfiguration={"CORSRules": [cors]})  # type: ignore[list-item]
    become("provision", "migrate")
    checks = by_subject(list(check_shared_bucket(settings, Control(Session(settings)), shared)))
    for habit in ("versioning", "notifications", "lifecycle", "CORS"):
        assert checks[f"{shared}: {habit}"].outcome is Outcome.NOTICE, habit
    assert "NOT carried over" in checks[f"{shared}: notifications"].hint
    assert checks[f"{shared}: replication"].outcome is Outcome.OK


def test_habits_that_may_not_be_read_could_not_be_checked(settings: Settings, become: Become) -> None:
    become("application")
    checks = by_subject(list(check_shared_bucket(settings, Control(Session(settings)), settings.shared_bucket[0])))
    assert checks[f"{settings.shared_bucket[0]}: notifications"].outcome is Outcome.COULD_NOT_CHECK


def test_a_missing_shared_bucket_stops_no_other_check(settings: Settings, become: Become) -> None:
    become("provision", "migrate")
    checks = by_subject(list(examine(settings.model_copy(update={"shared_bucket": ("no-such-bucket-here",)}))))
    assert checks["no-such-bucket-here: presence"].outcome is Outcome.FAILED
    assert checks["no-such-bucket-here: listing"].outcome is Outcome.COULD_NOT_CHECK
    assert checks["S3: log bucket"].outcome is Outcome.OK


def test_a_shared_bucket_with_the_tenants_prefix_is_found_out(settings: Settings) -> None:
    prefix = settings.shared_bucket[0].rpartition("-")[0]
    settings = settings.model_copy(update={"bucket_prefix": prefix})
    checks = by_subject(list(check_shared_bucket(settings, Control(Session(settings)), settings.shared_bucket[0])))
    assert checks[f"{settings.shared_bucket[0]}: name"].outcome is Outcome.FAILED


def test_wrong_keys_fail_once_and_the_database_is_checked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-this-key")
    checks = list(examine(settings))
    found = by_subject(checks)
    assert found["S3: identity"].outcome is Outcome.FAILED
    assert found["database: mapping"].outcome is Outcome.OK
    assert found["S3: buckets and rights"].outcome is Outcome.COULD_NOT_CHECK
    assert "not-the-secret-of-this-key" not in str(checks)


def test_an_endpoint_that_is_down_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1")
    checks = by_subject(list(examine(settings.model_copy(update={"endpoint_url": "http://127.0.0.1:1"}))))
    assert checks["S3: identity"].outcome is Outcome.FAILED
    assert checks["S3: identity"].hint
    assert checks["S3: clock"].outcome is Outcome.COULD_NOT_CHECK


def test_a_database_that_is_down_stops_no_check_of_s3(settings: Settings, become: Become) -> None:
    become("provision", "migrate")
    url = SecretStr("postgresql://someone:a-password@127.0.0.1:1/nowhere")
    checks = list(examine(settings.model_copy(update={"database_url": url})))
    found = by_subject(checks)
    assert found["database: connection"].outcome is Outcome.FAILED
    assert found["database: rights"].outcome is Outcome.COULD_NOT_CHECK
    assert found["S3: identity"].outcome is Outcome.OK
    assert "a-password" not in str(checks)
    assert exit_status(checks) == 1


def test_a_missing_column_is_named(settings: Settings, application_database: str) -> None:
    with psycopg.connect(application_database) as connection:
        connection.execute("ALTER TABLE documents DROP COLUMN s3_key")
    checks = by_subject(list(check_database(settings)))
    assert checks["database: mapping"].outcome is Outcome.FAILED
    assert "s3_key" in checks["database: mapping"].message
    assert checks["database: rights"].outcome is Outcome.COULD_NOT_CHECK


def role_of(url: str, name: str, *grants: str) -> str:
    """Make a role with these grants; return the url of the same database as that role."""
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'of-this-role'")  # type: ignore[arg-type]
        for grant in grants:
            connection.execute(f"{grant} TO {name}")  # type: ignore[arg-type]
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return f"postgresql://{name}:of-this-role@{parts['host']}:{parts['port']}/{parts['dbname']}"


def test_missing_rights_in_the_database_are_named(settings: Settings, application_database: str) -> None:
    url = role_of(application_database, f"reader_{next(_numbers)}", "GRANT SELECT ON tenants, documents")
    reading = settings.model_copy(update={"database_url": SecretStr(url)})
    checks = by_subject(list(check_database(reading)))
    rights = checks["database: rights"]
    assert rights.outcome is Outcome.FAILED
    for missing in (
        "UPDATE of documents.s3_bucket",
        "UPDATE of tenants.aws_bucket_name",
        "CREATE in the schema public",
    ):
        assert missing in rights.message
    owner, _, granted = str(rights.hint).partition(", or: ")
    assert owner == "connect as the owner of documents"
    with psycopg.connect(application_database) as connection:
        connection.execute(granted.encode())
    [rights] = [each for each in check_database(reading) if each.subject == "database: rights"]
    assert rights.message.endswith(" lacks: ownership of documents (for ALTER TABLE)")
    assert rights.hint == owner


EVERYDAY = (
    "GRANT SELECT ON tenants, documents",
    "GRANT UPDATE (aws_bucket_name) ON tenants",
    "GRANT UPDATE (s3_bucket, s3_key, etag, file_size, s3_version_id, s3_checksum, s3_migrated_at) ON documents",
    "GRANT ALL ON s3_migrations, s3_migration_documents, s3_migration_events, s3_inventory, tenant_usage, rehouse_ledger,"
    " s3_migration_progress, s3_upload_grants, s3_pending_deletions, rehouse_usage_deltas, rehouse_usage_faults,"
    " rehouse_schema_version",
)


@pytest.mark.parametrize(
    ("taken", "named"),
    [
        (None, None),
        ("UPDATE (s3_version_id) ON documents", "UPDATE of documents.s3_version_id"),
        ("UPDATE ON s3_migration_documents", "SELECT, INSERT, UPDATE on s3_migration_documents"),
        ("DELETE ON s3_inventory", "SELECT, INSERT, UPDATE, DELETE on s3_inventory"),
    ],
)
def test_rights_on_the_ledger_are_looked_at(
    settings: Settings, application_database: str, taken: str | None, named: str | None
) -> None:
    """What every flip and every record writes: a run would fail in its middle without one of these rights."""
    with Installation.open(settings) as installation:
        installation.upgrade()
    name = f"runner_{next(_numbers)}"
    url = role_of(application_database, name, *EVERYDAY)
    if taken:
        with psycopg.connect(application_database) as connection:
            connection.execute(f"REVOKE {taken} FROM {name}")  # type: ignore[arg-type]
    running = settings.model_copy(update={"database_url": SecretStr(url)})
    rights = by_subject(list(check_database(running)))["database: rights"]
    assert rights.outcome is (Outcome.FAILED if taken else Outcome.OK), rights.message
    assert named is None or named in rights.message
    if taken:
        with psycopg.connect(application_database) as connection:
            connection.execute(str(rights.hint).partition(", or: ")[2].encode())
        [rights] = [each for each in check_database(running) if each.subject == "database: rights"]
        assert rights.outcome is Outcome.OK, rights.message


def test_a_role_that_cannot_publish_is_told_so_and_works(settings: Settings, application_database: str) -> None:
    with Installation.open(settings) as installation:
        installation.upgrade()
    name = f"runner_{next(_numbers)}"
    url = role_of(application_database, name, *EVERYDAY)
    with psycopg.connect(application_database) as connection:
        connection.execute(f"REVOKE UPDATE ON s3_migration_progress FROM {name}")  # type: ignore[arg-type]
    checks = by_subject(list(check_database(settings.model_copy(update={"database_url": SecretStr(url)}))))
    rights = checks["database: rights"]
    assert (rights.outcome, "status --watch" in rights.hint) == (Outcome.NOTICE, True), rights
    assert "SELECT, INSERT, UPDATE, DELETE on s3_migration_progress" in rights.message


def test_a_role_that_row_security_blinds_is_found_out(settings: Settings, application_database: str) -> None:
    url = role_of(application_database, f"blind_{next(_numbers)}", "GRANT ALL ON tenants, documents")
    with psycopg.connect(application_database) as connection:
        connection.execute("ALTER TABLE documents ENABLE ROW LEVEL SECURITY")
    checks = by_subject(list(check_database(settings.model_copy(update={"database_url": SecretStr(url)}))))
    assert checks["database: row security"].outcome is Outcome.FAILED


@pytest.mark.parametrize("missing", ["database_url", "shared_bucket"])
def test_a_missing_setting_is_refused_before_any_look(settings: Settings, missing: str) -> None:
    empty: object = None if missing == "database_url" else ()
    with pytest.raises(ConfigurationError):
        examine(settings.model_copy(update={missing: empty}))


def test_the_applications_own_rights_are_looked_at(
    settings: Settings, become: Become, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = Scope(settings.shared_bucket, settings.bucket_prefix)
    lines = []
    for profile, roles in (("app", ["application"]), ("weak", [])):
        policies = policy_documents(roles, scope)  # type: ignore[arg-type]
        access_key, secret_key = s3_server.user(f"{settings.bucket_prefix}-{profile}", policies)
        lines += [f"[{profile}]", f"aws_access_key_id={access_key}", f"aws_secret_access_key={secret_key}"]
    path = tmp_path / "credentials"
    path.write_text("\n".join(lines))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.fspath(path))
    become("provision", "migrate")
    good = by_subject(list(examine(settings.model_copy(update={"application_profile": "app"}), probe=True)))
    assert good["application: reading the shared bucket"].outcome is Outcome.OK
    assert good["probe: the application's rights"].outcome is Outcome.OK
    weak = by_subject(list(examine(settings.model_copy(update={"application_profile": "weak"}), probe=True)))
    refused = [weak["application: reading the shared bucket"], weak["probe: the application's rights"]]
    denied = [each for each in weak.values() if each.message.startswith("not allowed")]
    for each in refused + denied:
        assert each.outcome is Outcome.FAILED
        assert each.hint == "attach `rehouse iam-policy --role application` to the application's role"
        assert each.subject not in each.message
    assert denied
    gone = by_subject(list(examine(settings.model_copy(update={"application_profile": "nobody"}))))
    assert gone["application: identity"].outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("length", "slug", "outcome"),
    [
        (63, "a", Outcome.OK),
        (40, "a", Outcome.NOTICE),
        (40, "a-very-long-slug-of-a-tenant-with-many-words", Outcome.FAILED),
    ],
)
@pytest.mark.parametrize("column", ["tenants.aws_bucket_name", "documents.s3_bucket"])
def test_columns_too_short_for_the_buckets_names_are_found_out(
    settings: Settings, application_database: str, column: str, length: int, slug: str, outcome: Outcome
) -> None:
    table, _, name = column.partition(".")
    with psycopg.connect(application_database) as connection:
        connection.execute("INSERT INTO tenants (name, slug) VALUES ('a', %s)", (slug,))
        connection.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE varchar({length})".encode())
    check = by_subject(list(check_database(settings)))["database: room for names and keys"]
    assert check.outcome is outcome
    assert outcome is Outcome.OK or (f"{column} holds {length}" in check.message and "varchar(63)" in check.hint)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("text", Outcome.OK), ("varchar(300)", Outcome.NOTICE), ("varchar(99)", Outcome.FAILED)],
)
def test_a_column_too_short_for_the_keys_is_found_out(
    settings: Settings, application_database: str, kind: str, outcome: Outcome
) -> None:
    with psycopg.connect(application_database) as connection:
        connection.execute(f"ALTER TABLE documents ALTER COLUMN s3_key TYPE {kind}".encode())
    assert by_subject(list(check_database(settings)))["database: room for names and keys"].outcome is outcome


@given(st.text(max_size=300), st.text(max_size=300))
def test_the_shortest_accepted_column_holds_every_key(document_id: str, name: str) -> None:
    key = target_key(document_id, name, max_characters=SHORTEST_KEY)
    assert len(key) <= SHORTEST_KEY


def test_a_log_file_is_looked_at_and_not_made(settings: Settings, tmp_path: Path) -> None:
    def outcome(path: Path) -> Outcome:
        [check] = check_machine(settings.model_copy(update={"log_file": path}))
        return check.outcome

    assert list(check_machine(settings)) == []
    assert outcome(tmp_path / "log") is Outcome.OK
    assert not (tmp_path / "log").exists()
    assert outcome(tmp_path) is Outcome.FAILED
    assert outcome(tmp_path / "no-folder" / "log") is Outcome.FAILED
    (tmp_path / "log").write_text("before")
    assert outcome(tmp_path / "log") is Outcome.OK
    assert (tmp_path / "log").read_text() == "before"


@given(st.lists(st.sampled_from(Outcome)))
def test_only_a_failure_fails_and_every_check_is_counted(outcomes: list[Outcome]) -> None:
    checks = [Check("a", outcome, "b") for outcome in outcomes]
    assert exit_status(checks) == int(Outcome.FAILED in outcomes)
    numbers = [int(part.split()[0]) for part in summary(checks).split(", ") if checks]
    assert sum(numbers) == len(outcomes)


@pytest.mark.parametrize(
    ("date", "expected"), [("Mon, 23 Nov 2026 06:23:01 GMT", -59), ("", None), ("yesterday", None)]
)
def test_the_skew_is_the_servers_clock_against_ours(date: str, expected: float | None) -> None:
    assert skew_seconds({"date": date}, 1795415040) == expected


@pytest.mark.parametrize("prefix", ["short", "a-prefix-of-28-characters-28"])
def test_the_scratch_bucket_is_in_the_tenants_namespace(settings: Settings, prefix: str) -> None:
    update = {"bucket_namespace": "account-regional", "bucket_prefix": prefix}
    control = Control(Session(settings))
    checks = {check.subject: check for check in check_by_probe(settings.model_copy(update=update), control, None)}
    created = checks["probe: scratch bucket"]
    assert created.outcome is Outcome.OK
    assert created.message.removesuffix(" created").endswith("-000000000000-us-east-1-an")
    assert checks["probe: removal"].outcome is Outcome.OK


def test_plain_names_work_in_the_account_regional_namespace(room: Room, strict: StrictRelay) -> None:
    def namespaced(request: Request) -> Reply | None:
        """S3 refuses the header for a name without the ending, and the ending without the header."""
        if request.operation != "PUT bucket":
            return None
        is_named = request.bucket.endswith("-000000000000-us-east-1-an")
        is_asked = request.headers.get("x-amz-bucket-namespace") == "account-regional"
        return None if is_named == is_asked else refusal(400, "InvalidBucketNamespace")(request)

    strict.meanwhile = namespaced
    room.settings = room.settings.model_copy(update={"bucket_namespace": "account-regional"})
    room.documents("a")
    assert room.migrate().phase is Phase.CUT_OVER
    assert room.home().endswith("-000000000000-us-east-1-an")
    room.root.create_bucket(Bucket=f"{room.settings.bucket_prefix}-plain")
    room.tenant("beta", home=f"{room.settings.bucket_prefix}-plain")
    room.documents("b", slug="beta")
    assert room.migrate("beta").phase is Phase.CUT_OVER
    room.settings = room.settings.model_copy(update={"log_bucket": f"{room.settings.bucket_prefix}-our-logs"})
    room.tenant("gamma")
    assert room.migrate("gamma").error is None


def test_usage_that_could_not_be_kept_is_told(settings: Settings) -> None:
    initialise(settings)
    with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
        connection.execute("INSERT INTO tenants (name, slug) VALUES ('A', 'a')")
        found = by_subject(list(check_database(settings)))["database: usage"]
        assert (found.outcome, found.message) == (
            Outcome.OK,
            "triggers keep it up to date; 0 changes are waiting to be added",
        )
        insert = "INSERT INTO documents (id, tenant_id, original_name, filename, size) VALUES (%s, 1, '', '', 1)"
        for sabotage, told, way_out in (
            ("ALTER TABLE tenant_usage ADD CHECK (documents_count < 1) NOT VALID", "could not be added", "status"),
            ("ALTER TABLE rehouse_usage_deltas ADD CHECK (documents > 9) NOT VALID", "could not be counted", "init"),
            ("DROP TABLE rehouse_usage_deltas", "are missing", "init"),
        ):
            connection.execute(sabotage)
            connection.execute(insert, (told,))
            found = by_subject(list(check_database(settings)))["database: usage"]
            assert found.outcome is Outcome.NOTICE
            assert told in found.message
            assert way_out in found.hint


def test_an_incomplete_ledger_is_no_ground_for_advice(room: Room) -> None:
    """The home of a tenant that was not cut over is in the ledger alone."""
    room.documents("a")
    room.migrate(until=Phase.VERIFIED)
    room.sql("ALTER TABLE s3_migrations DROP COLUMN run_failed")
    found = check_homes(room.settings, Control(Session(room.settings)))
    assert (found.outcome, "UPDATE" in found.message + found.hint) == (Outcome.COULD_NOT_CHECK, False)
    assert "rehouse init" in found.hint


def test_a_variable_over_the_file_is_a_notice(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rehouse.toml").write_text('shared_bucket = "mine"\nbucket_prefix = "mine"', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    both = {"REHOUSE_SHARED_BUCKET": settings.shared_bucket[0], "REHOUSE_BUCKET_PREFIX": settings.bucket_prefix}
    told = settings.model_copy(update={"overridden": load(both).overridden, "origins": load(both).origins})
    [check] = [each for each in examine(told) if each.group is Group.SETTINGS]
    assert (check.outcome, "unset" in check.hint) == (Outcome.NOTICE, True)
    assert check.message == "REHOUSE_SHARED_BUCKET, REHOUSE_BUCKET_PREFIX: rehouse.toml has other values for them"
    assert not [each for each in examine(settings) if each.group is Group.SETTINGS]
