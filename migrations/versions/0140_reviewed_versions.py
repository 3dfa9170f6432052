"""Versions carry their reviewer's note; a publisher may only submit versions, and only of its own listings

Revision: 0140, after 0004
"""

from pathlib import Path

from alembic import op

revision = "0140"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0140_reviewed_versions.sql").read_text())
