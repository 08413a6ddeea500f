"""rehouse moves the tenants of a SaaS out of one shared S3 bucket into a bucket each, and proves that nothing was lost."""

__version__ = "0.1.0"
