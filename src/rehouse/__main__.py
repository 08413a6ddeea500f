"""`python -m rehouse` is the command `rehouse`."""

from rehouse.cli.main import run

run()
