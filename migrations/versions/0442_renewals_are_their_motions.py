"""A renewal that went as announced is its charge alone

Revision: 0442
"""

from pathlib import Path

from alembic import op

revision = "0442"
down_revision = "0453"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0442_renewals_are_their_motions.sql").read_text())
