"""Access to S3: the bulk plane over libcurl and the control plane over boto3."""
