"""Renewals judged and written at less cost

Revision: 0440
"""

from pathlib import Path

from alembic import op

revision = "0440"
down_revision = "0400"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0440_renewals_at_less_cost.sql").read_text())
