"""Settings: defaults < rehouse.toml < environment, where each comes from, and every wrong key or value refused by name."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.config import MASK, Settings, effective_settings, leaves, load, variables
from rehouse.core.errors import ConfigurationError

SECRET = "hunter2-and-more"
URL = f"postgresql://app:{SECRET}@db.example.com:5432/dataroom"
SECRETS = {"database_url", "serve_token"}
LEAVES = sorted(leaves())
VALUES = {
    "request_metrics": "True",
    "mapping.documents.by_key": "True",
    "database_url": URL,
    "shared_bucket": "one-bucket,two-bucket",
    "bucket_prefix": "other-prefix",
    "bucket_namespace": "account-regional",
    "s3_dialect": "ceph",
    "region": "eu-central-1",
    "endpoint_url": "http://127.0.0.1:9000",
    "cors_origins": "https://a.example.com",
    "log_bucket": "the-logs",
    "encryption": "arn:aws:kms:eu-west-1:123456789012:key/1234",
    "source_kms_keys": "alias/docs,arn:aws:kms:eu-west-1:123456789012:key/5678",
    "role_arn": "arn:aws:iam::123456789012:role/tenants",
    "max_rate": "250.5",
    "grace_days": "2.5",
    "versioning_settle_seconds": "60",
    "log_file": "/tmp/rehouse.log",
    "finish.ignore_columns": "audit.events.line,public.outbox.body",
}


def toml(folder: Path, text: str) -> Path:
    (folder / "rehouse.toml").write_text(text, encoding="utf-8")
    return folder


def refusal(environment: dict[str, str], folder: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(environment, folder)
    assert caught.value.exit_status == 2
    assert caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint
    return caught.value


def shown(settings: Settings, leaf: str) -> tuple[str, str]:
    """The value and the origin that `effective` tells of a setting."""
    return next((value, origin) for name, value, origin in effective_settings(settings) if name == leaf)


def another(leaf: str) -> str:
    """A valid value of a setting that is not its default."""
    if leaf in VALUES:
        return VALUES[leaf]
    default = shown(Settings(), leaf)[0]
    if default.isdigit():
        smaller = leaf in {
            "batch_size",
            "multipart_threshold_bytes",
        }  # their defaults are at or near their upper bounds
        return str(int(default) - 1 if smaller else int(default) + 1)
    return "0.123" if leaf.startswith("prices.") else "something"


def test_a_variable_over_another_value_of_the_file_is_told(tmp_path: Path) -> None:
    folder = toml(
        tmp_path, 'shared_bucket = "mine"\nregion = "us-east-1"\nbatch_size = 10\n[lifecycle]\nnoncurrent_days = 9'
    )
    over = {"REHOUSE_SHARED_BUCKET": "theirs", "AWS_REGION": "eu-west-1", "REHOUSE_BATCH_SIZE": "10"}
    settings = load(over | {"REHOUSE_LIFECYCLE_NONCURRENT_DAYS": "8"}, folder)
    file = str(folder / "rehouse.toml")
    assert shown(settings, "shared_bucket") == ("theirs", f"REHOUSE_SHARED_BUCKET, over {file}")
    assert shown(settings, "region")[1] == f"AWS_REGION, over {file}"
    assert shown(settings, "lifecycle.noncurrent_days")[1] == f"REHOUSE_LIFECYCLE_NONCURRENT_DAYS, over {file}"
    assert shown(settings, "batch_size") == ("10", "REHOUSE_BATCH_SIZE"), "both say the same"
    assert load({}, folder).overridden == {}
    wrong = toml(tmp_path, "batch_size = 0")
    assert list(load(over, wrong).overridden) == ["batch_size"], "a value that could not hold is another one"


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = load({}, tmp_path)
    assert settings == Settings()
    assert {origin for _, _, origin in effective_settings(settings)} == {"default"}
    assert settings.bucket_prefix == "dataroom-saas"
    assert (settings.mapping.tenants.aws_bucket_name, settings.mapping.documents.s3_key) == (
        "aws_bucket_name",
        "s3_key",
    )


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_setting_can_come_from_its_variable(leaf: str, tmp_path: Path) -> None:
    variable = "REHOUSE_" + leaf.upper().replace(".", "_")
    assert variables(leaf)[0] == variable
    value, origin = shown(load({variable: another(leaf)}, tmp_path), leaf)
    assert origin == variable
    assert value.replace(" ", "") == (MASK if leaf in SECRETS else another(leaf))


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_environment_is_stronger_than_the_file(leaf: str, tmp_path: Path) -> None:
    section, _, name = leaf.rpartition(".")
    number = another(leaf).isdigit() or leaf in {"max_rate", "grace_days"}
    quoted = another(leaf) if number else f'"{another(leaf)}"'
    toml(tmp_path, (f"[{section}]\n" if section else "") + f"{name} = {quoted}\n")
    value, origin = shown(load({}, tmp_path), leaf)
    assert origin == str(tmp_path / "rehouse.toml")
    assert value.replace(" ", "") == (MASK if leaf in SECRETS else another(leaf))
    default = shown(Settings(), leaf)[0] or another(leaf)
    stronger = load({variables(leaf)[0]: default}, tmp_path)
    over = f", over {tmp_path / 'rehouse.toml'}" if default != another(leaf) else ""
    assert shown(stronger, leaf)[1] == variables(leaf)[0] + over
    assert shown(stronger, leaf)[0].replace(" ", "") == (MASK if leaf in SECRETS else default)


@pytest.mark.parametrize(
    ("leaf", "names"),
    [
        ("database_url", ["REHOUSE_DATABASE_URL", "DATABASE_URL"]),
        ("region", ["REHOUSE_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"]),
        ("bucket_prefix", ["REHOUSE_BUCKET_PREFIX", "AWS_S3_BUCKET_PREFIX"]),
    ],
)
def test_the_usual_variables_are_read_in_order(leaf: str, names: list[str], tmp_path: Path) -> None:
    values = {name: f"{another(leaf)}{number}" for number, name in enumerate(names)}
    while values:
        settings = load(values, tmp_path)
        first = next(iter(values))
        assert shown(settings, leaf)[1] == first
        if leaf == "database_url":
            assert settings.require_database_url() == values[first]
        else:
            assert shown(settings, leaf)[0] == values[first]
        del values[first]


def test_an_empty_variable_is_as_good_as_none(tmp_path: Path) -> None:
    settings = load(
        {"AWS_REGION": "", "REHOUSE_CONFIG": "", "DATABASE_URL": ""}, toml(tmp_path, 'region = "eu-west-1"')
    )
    assert settings.region == "eu-west-1"
    assert settings.database_url is None


def test_values_have_their_types(tmp_path: Path) -> None:
    settings = load({"REHOUSE_MAX_IN_FLIGHT": "7", "REHOUSE_PRICES_COPY_PER_THOUSAND": "0.01"}, tmp_path)
    assert settings.max_in_flight == 7
    assert settings.prices.copy_per_thousand == Decimal("0.01")


names = st.from_regex(r"[a-z0-9]{3,10}", fullmatch=True)


@given(st.lists(names, min_size=1, max_size=4), st.sampled_from([",", ", ", " , ", ",,", ",\n"]))
def test_lists_are_comma_separated(buckets: list[str], comma: str) -> None:
    text = comma.join(buckets) + comma
    assert load({"REHOUSE_SHARED_BUCKET": text}, Path("/nonexistent")).require_shared_buckets() == tuple(buckets)


def test_lists_may_be_lists_in_the_file(tmp_path: Path) -> None:
    settings = load({}, toml(tmp_path, 'shared_bucket = ["one", "two"]\ncors_origins = "https://a, https://b"'))
    assert settings.shared_bucket == ("one", "two")
    assert settings.cors_origins == ("https://a", "https://b")


def test_the_file_may_be_anywhere_but_then_it_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text('bucket_prefix = "from-elsewhere"')
    settings = load({"REHOUSE_CONFIG": str(file)}, toml(tmp_path, 'bucket_prefix = "from-here"'))
    assert shown(settings, "bucket_prefix") == ("from-elsewhere", str(file))
    missing = tmp_path / "missing.toml"
    assert str(missing) in refusal({"REHOUSE_CONFIG": str(missing)}, tmp_path).message
    assert str(tmp_path) in refusal({"REHOUSE_CONFIG": str(tmp_path)}, tmp_path).message


@pytest.mark.parametrize(
    ("text", "subject", "near"),
    [
        ("shared_buckets = 'a'", "shared_buckets", "shared_bucket"),
        ("bucketprefix = 'a'", "bucketprefix", "bucket_prefix"),
        ("[lifecycle]\nnoncurent_days = 3", "lifecycle.noncurent_days", "lifecycle.noncurrent_days"),
        ("[mapping.documents]\ns3key = 'k'", "mapping.documents.s3key", "mapping.documents.s3_key"),
        ("[mapping.tenant]\nslug = 's'", "mapping.tenant", "mapping.tenants."),
        ("origins = {region = 'mine'}", "origins", "cors_origins"),
        ("Bucket_Prefix = 'x'", "Bucket_Prefix", "did you mean bucket_prefix?"),
        ("zzzzzzzz = 1", "zzzzzzzz", "docs/settings.md"),
        ("[mapping.documents]\nzzzz = 1", "mapping.documents.zzzz", "docs/settings.md"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_right_one(
    text: str, subject: str, near: str, tmp_path: Path
) -> None:
    error = refusal({}, toml(tmp_path, f'database_url = "{URL}"\n{text}'))
    assert f"{subject} is unknown" in error.message
    assert str(tmp_path / "rehouse.toml") in error.message
    assert near in error.hint


def test_an_unknown_variable_is_refused_only_if_it_is_ours(tmp_path: Path) -> None:
    error = refusal({"REHOUSE_SHARED_BUCKETS": "a"}, tmp_path)
    assert "REHOUSE_SHARED_BUCKETS" in error.message
    assert error.hint == "did you mean REHOUSE_SHARED_BUCKET?"
    assert refusal({"REHOUSE_ZZZZ": "a"}, tmp_path).hint == "docs/settings.md lists every setting"
    load({"AWS_WHATEVER": "x", "rehouse_x": "y", "PATH": "/bin"}, tmp_path)


@pytest.mark.parametrize("text", ["a = ", "= 1", "[x", "region = 'a'\nregion = 'b'", "\x00", f"database_url = {URL}"])
def test_malformed_toml_is_refused_by_file_and_place(text: str, tmp_path: Path) -> None:
    message = refusal({}, toml(tmp_path, text)).message
    assert str(tmp_path / "rehouse.toml") in message
    assert "is not valid TOML" in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rehouse.toml").write_bytes(b"\xff\xfe\x00")
    assert "is not valid TOML" in refusal({}, tmp_path).message


WRONG = {
    "shared_bucket": ["Bad Bucket", "a", "../x", "ok-bucket,x/y"],
    "bucket_prefix": ["Upper", "-a", "a_b", "a.b", "xn--a", "sthree-a", "amzn-s3-demo-a", "x" * 32, "a\n"],
    "bucket_namespace": ["regional"],
    "s3_dialect": ["Ceph", "minio"],
    "region": ["us east", "us-east-1\n", "../"],
    "role_arn": ["role/x", "arn:aws:iam::123456789012:user/x", "arn:aws:iam::123456789012:role/a b"],
    "endpoint_url": ["localhost:9000", "ftp://x", "http://"],
    "cors_origins": ["*", "https://a.example/", "a.example", "HTTPS://a.example", "https://a.example:443", "null"],
    "max_in_flight": ["0", "-1", "1001", "many", "1.5"],
    "max_rate": ["0", "-3", "nan", "inf"],
    "batch_size": ["0", "10001"],
    "multipart_part_bytes": ["5242879", "5368709121"],
    "routing_seconds": ["-1", "301", "1.5"],
    "upload_grant_seconds": ["59", "64801", "never"],
    "download_url_seconds": ["0", "604801"],
    "mapping.tenants.max_documents": ["x" * 65],
    "lifecycle.infrequent_access_days": ["29"],
    "lifecycle.noncurrent_days": ["0"],
    "prices.copy_per_thousand": ["-1", "NaN", "cheap"],
    "mapping.documents.s3_key": ["x" * 64],
    "encryption": ["two words"],
}


@pytest.mark.parametrize(("leaf", "text"), [(leaf, text) for leaf, texts in WRONG.items() for text in texts])
def test_a_wrong_value_is_refused_by_name_and_source(leaf: str, text: str, tmp_path: Path) -> None:
    variable = variables(leaf)[0]
    error = refusal({variable: text, "DATABASE_URL": URL}, tmp_path)
    assert error.message.startswith(f"{variable}: {leaf}: ")
    assert "Value error" not in error.message
    assert "Input should" not in error.message
    assert (shown(Settings(), leaf)[0] or "none") in error.hint


@pytest.mark.parametrize("text", ["lifecycle = 3", "[[lifecycle]]\nx = 1", "[mapping]\ndocuments = 'd'"])
def test_a_section_must_be_one(text: str, tmp_path: Path) -> None:
    error = refusal({"REHOUSE_LIFECYCLE_NONCURRENT_DAYS": "3"}, toml(tmp_path, text))
    assert "is a section" in error.message
    assert "write [" in error.hint


def test_a_value_where_a_section_stands_is_refused(tmp_path: Path) -> None:
    assert "region" in refusal({}, toml(tmp_path, "[region]\na = 1")).message


def test_the_secret_is_shown_nowhere(tmp_path: Path) -> None:
    settings = load({"DATABASE_URL": URL}, tmp_path)
    everything = [repr(settings), str(settings), settings.model_dump_json(), str(list(effective_settings(settings)))]
    assert not any(SECRET in text for text in everything)
    assert shown(settings, "database_url") == (MASK, "DATABASE_URL")
    assert settings.require_database_url() == URL


def test_what_is_needed_and_missing_is_named(tmp_path: Path) -> None:
    settings = load({}, tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        settings.require_database_url()
    assert "DATABASE_URL" in caught.value.message
    assert "export DATABASE_URL=" in caught.value.hint
    with pytest.raises(ConfigurationError) as caught:
        settings.require_shared_buckets()
    assert "REHOUSE_SHARED_BUCKET" in caught.value.message
    assert "export REHOUSE_SHARED_BUCKET=" in caught.value.hint


def test_both_that_are_needed_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({}, tmp_path).require_places()
    assert caught.value.message == "DATABASE_URL is not set; REHOUSE_SHARED_BUCKET is not set"
    assert "export DATABASE_URL=" in caught.value.hint
    assert "export REHOUSE_SHARED_BUCKET=" in caught.value.hint
    load({"DATABASE_URL": URL, "REHOUSE_SHARED_BUCKET": "shared"}, tmp_path).require_places()


@pytest.mark.parametrize(
    ("dropped", "first"), [((), "one"), (("one",), "two"), (("two",), "one"), (("one", "two"), None)]
)
def test_the_first_bucket_that_was_not_removed_remains(dropped: tuple[str, ...], first: str | None) -> None:
    assert Settings(shared_bucket=("one", "two"), dropped_buckets=dropped).remaining_bucket == first


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().region = "elsewhere"  # type: ignore[misc]
