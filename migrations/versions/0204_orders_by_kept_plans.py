"""orders are written by plans that are kept

Revision: 0204
"""

from pathlib import Path

from alembic import op

revision = "0204"
down_revision = "0213"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0204_orders_by_kept_plans.sql").read_text())
