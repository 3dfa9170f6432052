"""Reports of reviews, and hiding them

Revision: 0320
"""

from pathlib import Path

from alembic import op

revision = "0320"
down_revision = "0261"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0320_review_reports.sql").read_text())
