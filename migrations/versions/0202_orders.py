"""purchases of a batch are written by one statement

Revision: 0202
"""

from pathlib import Path

from alembic import op

revision = "0202"
down_revision = "0201"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0202_orders.sql").read_text())
