"""The tables, as `makemigrations` writes them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The first migration."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Tenant",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("slug", models.CharField(max_length=50, unique=True)),
                ("name", models.CharField(max_length=50)),
                ("is_active", models.BooleanField(default=True)),
            ],
            options={"db_table": "tenants"},
        ),
        migrations.CreateModel(
            "Document",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.CharField(default="", max_length=50)),
                ("file", models.FileField(blank=True, max_length=255, upload_to="invoices/%Y")),
                (
                    "tenant",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="django_project.tenant"),
                ),
            ],
            options={"db_table": "documents"},
        ),
    ]
