"""Renewals as they will be charged: prices to be told, and what the wallet gives

Revision: 0452
"""

from pathlib import Path

from alembic import op

revision = "0452"
down_revision = "0411"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0452_foreseen_renewals.sql").read_text())
