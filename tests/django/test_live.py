"""A Django application at work while its tenant is migrated, rolled back and migrated again: nothing is lost, stale or mixed."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connections
from tests.support.django_project.models import Document, Tenant
from tests.support.django_project.tenancy import acting_as

from rehouse.core.lifecycle import Phase
from rehouse.operations import rollback as rolling_back

THREADS = 3


@dataclass
class Writer:
    """One thread of the application, with documents of its own: it adds, reads, replaces, deletes, and saves stale instances."""

    number: int
    stop: threading.Event
    bodies: dict[int, bytes] = field(default_factory=dict)
    stale: dict[int, Document] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    deeds: int = 0

    def run(self) -> None:
        """Work until told to stop."""
        chance = random.Random(self.number)
        with acting_as("acme"):
            try:
                while not self.stop.is_set():
                    self.work(chance)
                    self.deeds += 1
            except Exception as error:  # noqa: BLE001
                self.wrong.append(repr(error))
        connections.close_all()

    def work(self, chance: random.Random) -> None:
        """Do one thing to one document."""
        pk = chance.choice([*self.bodies]) if self.bodies else None
        deed = chance.choice(["add", "read", "read stale", "save stale", "replace", "delete"])
        body = f"{self.number} {self.deeds}".encode()
        if pk is None or deed == "add":
            document = Document(tenant=Tenant.objects.get(slug="acme"))
            document.file.save(f"{self.number}.txt", ContentFile(body))
            self.bodies[document.pk], self.stale[document.pk] = body, Document.objects.get(pk=document.pk)
        elif deed == "replace":
            document = Document.objects.get(pk=pk)
            document.file.save(f"{self.number}.txt", ContentFile(body))
            self.bodies[pk], self.stale[pk] = body, Document.objects.get(pk=pk)
        elif deed == "delete":
            document = Document.objects.get(pk=pk)
            document.file.delete(save=False)
            document.delete()
            del self.bodies[pk], self.stale[pk]
        elif deed == "save stale":
            self.stale[pk].title = f"saved {self.deeds}"
            self.stale[pk].save()
        else:
            document = self.stale[pk] if deed == "read stale" else Document.objects.get(pk=pk)
            document.file.close()
            if document.file.open().read() != self.bodies[pk]:
                self.wrong.append(f"{pk} was read as something else")


def roll_back(room):
    with room.services() as services:
        return rolling_back.roll_back_one(services, services.ledger.tenant("acme"))


def test_an_application_at_work_while_it_is_migrated(project):
    stop = threading.Event()
    writers = [Writer(number, stop) for number in range(THREADS)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        project.migrate(until=Phase.VERIFIED)
        project.migrate()
        roll_back(project)
        project.migrate()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [writer.wrong for writer in writers] == [[]] * THREADS
    assert sum(writer.deeds for writer in writers) > 50
    project.migrate()
    with acting_as("acme"):
        bodies = {pk: body for writer in writers for pk, body in writer.bodies.items()}
        assert {each.pk: each.file.read() for each in Document.objects.all()} == bodies
        for writer in writers:
            assert {pk: stale.file.open().read() for pk, stale in writer.stale.items()} == writer.bodies
        assert all(default_storage.exists(each.file.name) for each in Document.objects.all())
    assert project.sql("SELECT DISTINCT s3_bucket FROM documents") == [(project.home(),)]
