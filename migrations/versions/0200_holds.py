"""holds and their draws, credit limits, and what a charge says about both

Revision: 0200
"""

from pathlib import Path

from alembic import op

revision = "0200"
down_revision = "0130"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0200_holds.sql").read_text())
