"""A small Django project: tenants, and documents with a plain FileField whose table rehouse maps."""
