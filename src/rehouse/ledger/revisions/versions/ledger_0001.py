"""The ledger beside the application's tables: four tables of ours, the documents' new columns and indexes, the usage."""

from __future__ import annotations

from alembic import op

from rehouse.ledger.revisions import first
from rehouse.ledger.revisions.statement import perform

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Add what is missing."""
    context = op.get_context()
    assert context.config is not None
    for statement in first.statements(context.config.attributes["catalog"]):
        perform(context, statement)
