"""Tenant buckets: which one is a tenant's home, what it must be like, what is wrong with it, and its removal."""
