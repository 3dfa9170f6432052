"""What renewals will take from wallets, and which price increases are to be announced

Revision: 0243, after 0320
"""

from pathlib import Path

from alembic import op

revision = "0243"
down_revision = "0320"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0243_renewal_forecasts.sql").read_text())
