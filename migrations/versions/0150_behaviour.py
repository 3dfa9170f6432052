"""Activity and routines of members, a reason for declined offers, and a lock on days whose rollup is stale

Revision: 0150, after 0120
"""

from pathlib import Path

from alembic import op

revision = "0150"
down_revision = "0120"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0150_behaviour.sql").read_text())
