"""Run Django's own tests of file storages and FileFields against our Storage, in a process of their own.

    python -m tests.support.django_judge FOLDER_OF_DJANGOS_TESTS

FileSystemStorage is replaced before Django's tests are imported. Each `location` becomes a tenant with a bucket of its own, so a
test that makes a storage for a folder gets one for a tenant. The last line of the output is a JSON object with the result.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import unittest
from typing import Any, ClassVar

import boto3
import django
import psycopg
from django.conf import settings
from django.core.files.storage import Storage, filesystem
from django.utils.deconstruct import deconstructible

from rehouse import config
from rehouse.django import TenantFileStorage, close_storages
from rehouse.django.connections import address_of
from rehouse.operations import init as initialising

LABELS = (
    "file_storage.tests",
    "file_storage.test_base",
    "file_storage.test_generate_filename",
    "model_fields.test_filefield",
)
"""Left out: file_storage.test_inmemory_storage, which tests another storage of Django's."""
LOCAL = "is about paths, folders and rights on a local disk"
BASE_URL = "expects URLs below MEDIA_URL; ours are presigned"
WRITES = "writes through `open`; an object is stored by `save`, once"
OVERWRITES = "expects a file to be overwritten, which never happens"
LEFT_OUT = (
    dict.fromkeys(
        (
            *("test_empty_location", "test_file_path", "test_file_save_broken_symlink", "test_makedirs_race_handling"),
            *(
                "test_remove_race_handling",
                "test_delete_deletes_directories",
                "test_setting_changed",
                "test_file_object",
            ),
            *("test_file_get_created_time", "test_file_get_modified_time", "test_move_temporary_file", "test_listdir"),
            *("FileStoragePermissions", "test_file_save_with_path", "test_file_methods_pathlib_path"),
        ),
        LOCAL,
    )
    | dict.fromkeys(("test_base_url", "test_file_url", "test_lazy_base_url_init"), BASE_URL)
    | dict.fromkeys(
        ("test_file_access_options", "test_file_storage_preserves_filename_case", "test_filefield_write"), WRITES
    )
    | dict.fromkeys(
        ("OverwritingStorageTests", "OverwritingStorageOSOpenFlagsTests", "OverwritingStorageOSOpenFlagsWarningTests"),
        OVERWRITES,
    )
    | dict.fromkeys(
        ("test_file_get_accessed_time", "test_file_get_accessed_time_timezone"),
        "S3 does not know when an object was read",
    )
)
"""The end of a test's id → why it is not applicable."""
TABLES = """
CREATE TABLE tenants (id bigserial PRIMARY KEY, slug text UNIQUE, name text, is_active boolean DEFAULT true, aws_bucket_name text);
CREATE TABLE documents (id bigserial PRIMARY KEY, tenant_id bigint REFERENCES tenants, file varchar(255) NOT NULL DEFAULT '');
"""
_made: set[str] = set()
_making = threading.Lock()
_test = ["import"]
"""The test that runs: a folder of another test is another tenant, because Django's tests remove theirs."""


class JudgedPath:
    """os.path for Django's tests: what exists below a storage's folder is what the storage has."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os.path, name)

    def exists(self, path: Any) -> bool:
        """Return whether the storage, or else the disk, has a file."""
        storage, name = JudgedStorage.find(path)
        return os.path.exists(path) if storage is None or not name else storage.exists(name)  # noqa: PTH110


class JudgedOs:
    """The module os for Django's tests."""

    path = JudgedPath()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def listdir(self, path: Any) -> list[str]:
        """Return what a storage, or else the disk, has in a folder."""
        storage, name = JudgedStorage.find(path)
        if storage is None:
            return os.listdir(path)  # noqa: PTH208
        return [each.rpartition("/")[2] for each in storage.listdir(name)[1]]


def address() -> str:
    """Return the address of the database of the tests, as Django has named it."""
    return address_of("default")


def tenant_of(location: str) -> str:
    """Return the tenant for a folder; it is made with a bucket at its first use."""
    slug = "judge-" + hashlib.sha256(f"{_test[-1]} {location}".encode()).hexdigest()[:16]
    with _making:
        if slug not in _made:
            bucket = f"{os.environ['JUDGE_PREFIX']}-{slug}"
            client = boto3.client("s3", endpoint_url=os.environ["REHOUSE_ENDPOINT_URL"], region_name="us-east-1")
            client.create_bucket(Bucket=bucket)
            with psycopg.connect(address(), autocommit=True) as connection:
                connection.execute(
                    "INSERT INTO tenants (slug, name, aws_bucket_name) VALUES (%s, %s, %s)", (slug, slug, bucket)
                )
            _made.add(slug)
    return slug


@deconstructible(path="django.core.files.storage.FileSystemStorage")
class JudgedStorage(TenantFileStorage):
    """Our Storage under the arguments of Django's FileSystemStorage."""

    OS_OPEN_FLAGS = 0
    known: ClassVar[dict[str, JudgedStorage]] = {}

    def __init__(self, location: Any = None, base_url: Any = None, **_: Any) -> None:
        self.location = os.fspath(location if location is not None else "media")
        super().__init__(lambda: tenant_of(self.location))
        self.known[self.location] = self

    @classmethod
    def find(cls, path: Any) -> tuple[JudgedStorage | None, str]:
        """Return the storage of a folder, and the name of a path in it."""
        for location, storage in cls.known.items():
            if os.fspath(path).startswith(location):
                return storage, os.path.relpath(path, location).removeprefix(".")
        return None, ""


class Result(unittest.TextTestResult):
    """Notes which test runs."""

    def startTest(self, test: Any) -> None:  # noqa: N802
        """Let folders be new."""
        _test.append(test.id())
        super().startTest(test)


class Runner:
    """Makes the database, runs the tests that are applicable, and tells what became of them."""

    def run(self) -> int:
        """Return the exit status."""
        from django.test.runner import DiscoverRunner

        runner = DiscoverRunner(verbosity=1, interactive=False)
        suite = runner.build_suite(list(LABELS))
        sys.modules["file_storage.tests"].os = JudgedOs()  # type: ignore[attr-defined]
        every = [*_tests_of(suite)]
        chosen = unittest.TestSuite(test for test in every if reason_of(test.id()) is None)
        stale = [end for end in LEFT_OUT if not any(_is_named(test.id(), end) for test in every)]
        databases = runner.setup_databases()
        try:
            with psycopg.connect(address(), autocommit=True) as connection:
                connection.execute(TABLES)
            os.environ["DATABASE_URL"] = address()
            initialising.initialise(config.load())
            result = unittest.TextTestRunner(sys.stdout, verbosity=2, resultclass=Result).run(chosen)
        finally:
            close_storages()
            runner.teardown_databases(databases)
        bad = [test.id() for test, _ in (*result.failures, *result.errors)]
        skipped = {test.id(): reason for test, reason in result.skipped}
        print(json.dumps({"ran": result.testsRun, "bad": bad, "skipped": skipped, "stale": stale, "all": len(every)}))
        return 1 if bad or stale else 0


def reason_of(test_id: str) -> str | None:
    """Return why a test is left out, or None."""
    return next((reason for end, reason in LEFT_OUT.items() if _is_named(test_id, end)), None)


def _is_named(test_id: str, end: str) -> bool:
    return test_id.endswith(f".{end}") or f".{end}." in f".{test_id}."


def _tests_of(suite: Any) -> Any:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _tests_of(each)
        else:
            yield each


def main(folder: str) -> int:
    """Configure Django, put our Storage in the place of FileSystemStorage, and run its tests."""
    sys.path.insert(0, folder)
    os.environ["RUNNING_DJANGOS_TEST_SUITE"] = "true"
    parts = psycopg.conninfo.conninfo_to_dict(os.environ["JUDGE_DATABASE_URL"])
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "file_storage", "model_fields"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.postgresql"}
            | {name: str(parts.get(part, "")) for name, part in names.items()}
        },
        SECRET_KEY="judge",
        MIGRATION_MODULES={"auth": None, "contenttypes": None},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=False,
        STATIC_URL="/static/",
        MEDIA_URL="/media/",
    )
    import django.core.files.storage as package
    from django.test import SimpleTestCase

    filesystem.FileSystemStorage = package.FileSystemStorage = JudgedStorage
    assert issubclass(JudgedStorage, Storage)
    from django.db.backends.postgresql.features import DatabaseFeatures

    # The embedded PostgreSQL has no ICU, and no test that runs here is about collations.
    DatabaseFeatures.test_collations = dict.fromkeys(DatabaseFeatures.test_collations, "C")
    SimpleTestCase.databases = {"default"}  # our rows are in a database
    django.setup()
    return Runner().run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
