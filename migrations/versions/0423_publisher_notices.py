"""What a publisher should know

Revision: 0423
"""

from pathlib import Path

from alembic import op

revision = "0423"
down_revision = "0442"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0423_publisher_notices.sql").read_text())
