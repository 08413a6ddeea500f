"""The benchmarks: what a migration costs, measured against its peers and against the goals of `goals.py`.

`scripts/bench` runs them. Nothing here is part of the installed package.
"""
