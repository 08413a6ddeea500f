"""A judge from outside: Django's own tests of storages and FileFields, from its source distribution, against our Storage."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from contextlib import suppress
from pathlib import Path

import django
import pytest
from tests.support.django_judge import LEFT_OUT

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "django.md"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rehouse" / "judges"


def python_with_pip() -> str:
    """This Python if it has pip, else one in the cache: an environment that uv made has none."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    made = CACHE / "pip"
    if not (made / "bin" / "pip").exists():
        venv.create(made, with_pip=True, clear=True)
    return str(made / "bin" / "python")


def djangos_tests() -> Path:
    """The folder of Django's tests, of the version that is installed; downloaded once."""
    name = f"django-{django.get_version()}"
    folder = CACHE / name
    if not (folder / "tests" / "file_storage" / "tests.py").is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
            command = ["download", "--quiet", "--no-binary", ":all:", "--no-deps", f"django=={django.get_version()}"]
            subprocess.run([python_with_pip(), "-m", "pip", *command, "--dest", fresh], check=True, timeout=300)
            [archive] = Path(fresh).glob("*.tar.gz")
            with tarfile.open(archive) as opened:
                opened.extractall(fresh, filter="data")
            with suppress(OSError):  # another run was faster
                Path(fresh, name).rename(folder)
    return folder / "tests"


@pytest.mark.long
@pytest.mark.sample
def test_djangos_own_tests_accept_the_storage(postgres, s3_server, storage_settings, bucket):
    url = postgres.create_database(f"judge_{os.getpid()}")
    told = {
        "JUDGE_DATABASE_URL": url,
        "JUDGE_PREFIX": bucket,
        "REHOUSE_ENDPOINT_URL": s3_server.endpoint_url,
        "REHOUSE_REGION": s3_server.region,
        "REHOUSE_SHARED_BUCKET": bucket,
        "REHOUSE_MAPPING_TENANTS_AWS_BUCKET_NAME": "aws_bucket_name",
        "REHOUSE_MAPPING_DOCUMENTS_S3_KEY": "file",
        "REHOUSE_MAPPING_DOCUMENTS_ORIGINAL_NAME": "",
        "REHOUSE_MAPPING_DOCUMENTS_SIZE": "",
        "REHOUSE_MAPPING_DOCUMENTS_UPLOADED_AT": "",
        "REHOUSE_MAPPING_DOCUMENTS_BY_KEY": "true",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "tests.support.django_judge", str(djangos_tests())],
        cwd=ROOT, env=os.environ | told, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    print(ended.stdout)
    lines = ended.stdout.strip().splitlines() or [""]
    assert lines[-1].startswith("{"), ended.stdout + ended.stderr
    result = json.loads(lines[-1])
    assert (result["bad"], result["stale"]) == ([], [])
    assert ended.returncode == 0
    told_on_the_page = re.search(r"(\d+) of its\s(\d+)\stests run", PAGE.read_text(encoding="utf-8"))
    assert told_on_the_page is not None
    assert (result["ran"], result["all"]) == (int(told_on_the_page[1]), int(told_on_the_page[2]))


def test_the_page_names_every_test_that_is_left_out():
    section = PAGE.read_text(encoding="utf-8").partition("\n## Django's own tests\n")[2].partition("\n## ")[0]
    listed = {}
    for names, reason in re.findall(r"^\| (`.+`) \| (.+) \|$", section, re.MULTILINE):
        listed |= dict.fromkeys(re.findall(r"`([^`]+)`", names), reason)
    assert listed == LEFT_OUT
