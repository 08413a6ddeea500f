"""A Storage for Django's `STORAGES` whose files are the current tenant's, in the bucket that the tenant's row names.

The tenant is asked for at each call. Nothing of it is kept: neither in the storage, which all threads share, nor in the process.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, NoReturn
from uuid import UUID

from django import conf
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from django.core.files.storage import Storage
from django.core.files.utils import validate_file_name
from django.utils import timezone
from django.utils.deconstruct import deconstructible

from rehouse.core.errors import NameTaken, TryAgain
from rehouse.django.connections import connection_of, load, storage_of
from rehouse.django.content import ContentStream, TenantFile, content_type_of
from rehouse.django.refusals import NoCurrentTenant, TenantFileRefused, translate_refusals
from rehouse.runtime.files import TenantFiles
from rehouse.runtime.storage import TenantStorage
from rehouse.runtime.values import FileState

MOST_NAMES = 10
"""How many names are tried for one file, when others take them at the same moment."""
BUFFER_BYTES = 64 * 1024


@deconstructible(path="rehouse.django.TenantFileStorage")
class TenantFileStorage(Storage):
    """The files of the current tenant. The name that Django keeps in the column of a FileField is the key in S3.

    `tenant`: a callable without arguments that returns the slug or the id of the current tenant, or the dotted path of one.
    `using`: the database with the table. `storage`: a callable that returns a TenantStorage of yours, or its dotted path; it is
    called once for a path. `url_expires`: seconds. `inline`: a URL shows the file in the browser instead of saving it.
    """

    def __init__(
        self,
        tenant: str | Callable[[], object] | None = None,
        *,
        using: str = "default",
        storage: str | Callable[[], TenantStorage] | None = None,
        url_expires: int | None = None,
        inline: bool = False,
    ) -> None:
        if not tenant or not (isinstance(tenant, str) or callable(tenant)):
            raise ImproperlyConfigured(
                "TenantFileStorage needs OPTIONS['tenant']: a callable that returns the current tenant, or its dotted path"
            )
        self._tenant, self._using, self._opener = tenant, using, storage
        self._url_expires, self._inline = url_expires, inline

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Return whether a new file can have the name, as far as PostgreSQL knows; S3 decides when it is saved."""
        if max_length and len(name) > max_length:
            return False
        with translate_refusals():
            return not self._files().is_taken(_key_in(name))

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the key that a new file of this name gets, or one beside it."""
        name = str(name).replace("\\", "/")
        folder, file_name = posixpath.split(name)
        if ".." not in PurePosixPath(folder).parts:  # else Django refuses it
            validate_file_name(file_name)
            with translate_refusals():
                name = self._files().key_of(name)
        return str(super().get_available_name(name, max_length=max_length))

    def exists(self, name: str) -> bool:
        """Return whether the tenant has the file and S3 its object."""
        try:
            self._state(name)
        except FileNotFoundError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Empty the name in the file's row, then delete the object. A missing file is no error."""
        if not name:
            raise ValueError("The name must be given to delete().")
        with translate_refusals():
            self._files().delete(_key_in(name))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the folders and files in a folder, by the rows of the tenant."""
        with translate_refusals():
            folder = str(path).replace("\\", "/").strip("/").removeprefix(".")
            return self._files().list(folder)

    def size(self, name: str) -> int:
        """Return the size in bytes: the row's, else S3's."""
        with translate_refusals():
            files = self._files()
            size = files.get(_key_in(name)).size
            return files.head(_key_in(name)).size if size is None else size

    def url(
        self, name: str, *, as_name: str | None = None, inline: bool | None = None, expires: int | None = None
    ) -> str:
        """Return a presigned URL, under which a browser saves the file as `as_name` or its own name, or shows it."""
        with translate_refusals():
            return self._files().download_url(
                _key_in(name),
                as_name,
                inline=self._inline if inline is None else inline,
                expires=self._url_expires if expires is None else expires,
            )

    def get_accessed_time(self, name: str) -> NoReturn:
        """Raise NotImplementedError: S3 does not know when an object was read."""
        raise NotImplementedError("S3 does not record when an object was read.")

    def get_created_time(self, name: str) -> datetime:
        """Return when the object was stored. Nothing is ever overwritten, so this is also when it was last modified."""
        return self.get_modified_time(name)

    def get_modified_time(self, name: str) -> datetime:
        """Return when the object was stored; aware if USE_TZ, else in the default time zone. A migration copies an object anew."""
        at = self._state(name).modified_at
        return at if conf.settings.USE_TZ else timezone.make_naive(at, timezone.get_default_timezone())

    def _open(self, name: str, mode: str = "rb") -> File:
        if set(mode) - set("rbt"):
            raise ValueError(f"a file is opened for reading only, not with the mode {mode!r}; save() stores a new one")
        with translate_refusals():
            raw = self._files().open(_key_in(name))
        file = io.BufferedReader(raw, BUFFER_BYTES)
        if "b" not in mode:
            return TenantFile(io.TextIOWrapper(file, encoding="utf-8"), name, mode, self)
        return TenantFile(file, name, mode, self)

    def _save(self, name: str, content: Any) -> str:
        name = str(name)
        for _ in range(MOST_NAMES):
            stream = ContentStream(content)
            try:
                with translate_refusals():
                    kind = content_type_of(content, name)
                    return self._files().save(name, stream, kind, size=stream.size).key
            except NameTaken:
                name = self.get_available_name(name)
        raise TryAgain(
            f"{MOST_NAMES} names for {name!r} were taken at the same moment", hint="save it again", subject=name
        )

    def _state(self, name: str) -> FileState:
        with translate_refusals():
            return self._files().head(_key_in(name))

    def _files(self) -> TenantFiles:
        """Return the files of the current tenant, on Django's connection."""
        tenant = self._current_tenant()
        storage = storage_of(self._opener, self._using)
        return storage.for_tenant(tenant, connection_of(self._using)).files

    def _current_tenant(self) -> str | int:
        resolver = load(self._tenant, "tenant") if isinstance(self._tenant, str) else self._tenant
        found = resolver()
        if found is None or found == "":
            raise NoCurrentTenant(f"{self._tenant} named no tenant: a file belongs to one, and there is no default")
        if isinstance(found, UUID):
            return str(found)
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise ImproperlyConfigured(
                f"{self._tenant} returned {type(found).__name__}; the storage needs the slug or the id of the tenant"
            )
        return found


def _key_in(name: object) -> str:
    """Return the key of a name. Raises TenantFileRefused for one that leads out of the tenant's files."""
    key = str(name)
    if key.startswith("/") or ".." in PurePosixPath(key).parts:
        raise TenantFileRefused(f"the name {key[:80]!a} leads out of the tenant's files")
    return key
