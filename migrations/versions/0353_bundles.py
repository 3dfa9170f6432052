"""Bundles of listings

Revision: 0353
"""

from pathlib import Path

from alembic import op

revision = "0353"
down_revision = "0352"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0353_bundles.sql").read_text())
