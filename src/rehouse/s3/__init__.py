"""Floor 1: S3, the bulk plane over libcurl and the control plane over boto3."""
