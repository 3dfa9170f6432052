"""Partners' shares become due in batches

Revision: 0450
"""

from pathlib import Path

from alembic import op

revision = "0450"
down_revision = "0370"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0450_partner_shares.sql").read_text())
