"""What staff give back lowers the price of the whole service period

Revision: 0262, after 0340
"""

from pathlib import Path

from alembic import op

revision = "0262"
down_revision = "0340"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0262_lowered_prices.sql").read_text())
