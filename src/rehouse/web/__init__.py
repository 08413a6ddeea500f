"""The application's storage over HTTP: a FastAPI router, and the server `rehouse serve` around it.

`rehouse.fastapi` exports what applications import. Every call of the storage runs on a worker thread, because it blocks.
"""
