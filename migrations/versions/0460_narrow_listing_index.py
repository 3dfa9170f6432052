"""The store's search index in narrow rows

Revision: 0460
"""

from pathlib import Path

from alembic import op

revision = "0460"
down_revision = "0465"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0460_narrow_listing_index.sql").read_text())
