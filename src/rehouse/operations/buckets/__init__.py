"""Tenant buckets: which bucket is a tenant's home, its specification, what is wrong with it, and its removal."""
