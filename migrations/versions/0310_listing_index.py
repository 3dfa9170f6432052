"""A narrow index table for the store's search, kept by a trigger

Revision: 0310
"""

from pathlib import Path

from alembic import op

revision = "0310"
down_revision = "0242"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0310_listing_index.sql").read_text())
