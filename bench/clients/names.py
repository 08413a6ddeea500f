"""What the clients of the plain copy are called in tables and results. Imports nothing: the charts' environment lacks rehouse."""

REHOUSE = "rehouse, bulk plane"
ENGINE = "rehouse, through the engine"
S5CMD = "s5cmd run"
RCLONE = "rclone"
BOTO3 = "boto3 in threads"
