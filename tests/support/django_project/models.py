"""The models: nothing in them knows of rehouse."""

from __future__ import annotations

from django.db import models


class Tenant(models.Model):
    """A tenant."""

    slug = models.CharField(max_length=50, unique=True)
    name = models.CharField(max_length=50)
    is_active = models.BooleanField(default=True)

    class Meta:
        app_label = "django_project"
        db_table = "tenants"


class Document(models.Model):
    """A document with a file, as Django's documentation writes it."""

    tenant = models.ForeignKey(Tenant, models.CASCADE)
    title = models.CharField(max_length=50, default="")
    file = models.FileField(upload_to="invoices/%Y", max_length=255, blank=True)

    class Meta:
        app_label = "django_project"
        db_table = "documents"
