"""offers as campaigns with tiers, automatic top-ups, warnings of a low balance

Revision: 0220
"""

from pathlib import Path

from alembic import op

revision = "0220"
down_revision = "0260"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0220_top_ups_by_offer_and_by_themselves.sql").read_text())
