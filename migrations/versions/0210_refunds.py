"""What was charged is given back to the very grants that paid

Revision: 0210, after 0230
"""

from pathlib import Path

from alembic import op

revision = "0210"
down_revision = "0230"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0210_refunds.sql").read_text())
