"""Renewal batches look everything up by key

Revision: 0242, after 0202
"""

from pathlib import Path

from alembic import op

revision = "0242"
down_revision = "0202"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0242_renewals_by_key.sql").read_text())
