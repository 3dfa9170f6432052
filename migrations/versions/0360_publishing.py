"""Publishers hand in by machine and make listings of their own; what they earn

Revision: 0360
"""

from pathlib import Path

from alembic import op

revision = "0360"
down_revision = "0342"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0360_publishing.sql").read_text())
