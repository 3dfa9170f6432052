"""A batch of renewals is a stretch of what is due

Revision: 0510
"""

from pathlib import Path

from alembic import op

revision = "0510"
down_revision = "0500"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0510_stretches_of_renewals.sql").read_text())
