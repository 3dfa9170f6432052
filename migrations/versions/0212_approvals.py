"""Two-person approval, money back to cards and bank accounts, disputes, refunds of orders

Revision: 0212, after 0211
"""

from pathlib import Path

from alembic import op

revision = "0212"
down_revision = "0211"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0212_approvals.sql").read_text())
