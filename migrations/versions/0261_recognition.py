"""Deferred revenue is recognised day by day

Revision: 0261, after 0221
"""

from pathlib import Path

from alembic import op

revision = "0261"
down_revision = "0221"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0261_recognition.sql").read_text())
