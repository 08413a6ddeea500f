"""The present ledger: create or adopt whatever is missing, and replace parts of earlier versions."""

from __future__ import annotations

from alembic import op

from rehouse.ledger.schema import first
from rehouse.ledger.schema.statement import perform

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what is missing."""
    context = op.get_context()
    assert context.config is not None
    for statement in first.statements(context.config.attributes["catalog"]):
        perform(context, statement)
