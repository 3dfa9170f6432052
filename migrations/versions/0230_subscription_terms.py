"""subscriptions in full: commitments, pauses, scheduled periods, exact proration, perpetual licences, credits

Revision: 0230
"""

from pathlib import Path

from alembic import op

revision = "0230"
down_revision = "0250"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0230_subscription_terms.sql").read_text())
