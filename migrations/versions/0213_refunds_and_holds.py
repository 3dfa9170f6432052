"""A refund minds the end of holds

Revision: 0213, after 0203
"""

from pathlib import Path

from alembic import op

revision = "0213"
down_revision = "0203"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0213_refunds_and_holds.sql").read_text())
