"""Prices by use under a monthly cap

Revision: 0351
"""

from pathlib import Path

from alembic import op

revision = "0351"
down_revision = "0350"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0351_prices_by_use.sql").read_text())
