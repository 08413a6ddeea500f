"""An S3 server that keeps its state in memory and checks no signatures, fast enough to measure clients against."""
