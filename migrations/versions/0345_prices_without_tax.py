"""Subscription prices without tax

Revision: 0345
"""

from pathlib import Path

from alembic import op

revision = "0345"
down_revision = "0262"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0345_prices_without_tax.sql").read_text())
