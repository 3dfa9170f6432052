"""Coupons, and what an order was lowered by

Revision: 0350
"""

from pathlib import Path

from alembic import op

revision = "0350"
down_revision = "0360"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0350_coupons.sql").read_text())
