"""Paid money that lapses may stay owed, as unclaimed property

Revision: 0214, after 0204
"""

from pathlib import Path

from alembic import op

revision = "0214"
down_revision = "0204"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0214_unclaimed_property.sql").read_text())
