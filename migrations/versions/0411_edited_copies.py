"""Edited copies of installed apps

Revision: 0411
"""

from pathlib import Path

from alembic import op

revision = "0411"
down_revision = "0410"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0411_edited_copies.sql").read_text())
