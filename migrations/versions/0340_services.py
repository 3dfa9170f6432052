"""Services of partners with milestones

Revision: 0340
"""

from pathlib import Path

from alembic import op

revision = "0340"
down_revision = "0301"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0340_services.sql").read_text())
