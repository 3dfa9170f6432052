"""Batches walk along each index once, and a renewal writes two index entries less

Revision: 0500
"""

from pathlib import Path

from alembic import op

revision = "0500"
down_revision = "0490"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0500_charges_in_one_walk.sql").read_text())
