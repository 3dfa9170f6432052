"""Charges written to the rows that were read

Revision: 0441
"""

from pathlib import Path

from alembic import op

revision = "0441"
down_revision = "0452"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0441_charges_by_place.sql").read_text())
