"""rehouse moves the tenants of a SaaS out of one shared S3 bucket into a bucket each, and proves that nothing was lost."""

import logging

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())
