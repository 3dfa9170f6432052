"""A partner's statement names the orders that refunds were of

Revision: 0343
"""

from pathlib import Path

from alembic import op

revision = "0343"
down_revision = "0346"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0343_partners_see_refunds.sql").read_text())
