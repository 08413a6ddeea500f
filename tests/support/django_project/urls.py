"""The project's only views: upload a document, and lead to its file."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path
from tests.support.django_project.models import Document, Tenant
from tests.support.django_project.tenancy import current_tenant


def upload(request: Any) -> HttpResponse:
    """Store the uploaded file as a document of the current tenant."""
    document = Document(tenant=Tenant.objects.get(slug=current_tenant()), file=request.FILES["file"])
    document.save()
    return HttpResponse(str(document.pk))


def download(_request: Any, number: int) -> HttpResponse:
    """Lead to the file."""
    return HttpResponseRedirect(Document.objects.get(pk=number).file.url)


urlpatterns = [path("upload", upload), path("download/<int:number>", download)]
