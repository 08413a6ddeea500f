"""The control plane over boto3: find, create, configure, empty and delete buckets."""
