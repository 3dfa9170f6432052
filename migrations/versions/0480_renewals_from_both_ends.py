"""A second lane of the renewal run starts from the other end

Revision: 0480
"""

from pathlib import Path

from alembic import op

revision = "0480"
down_revision = "0475"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0480_renewals_from_both_ends.sql").read_text())
