"""An embedded PostgreSQL and S3 server with a sample data room, for the demo and the tests."""
