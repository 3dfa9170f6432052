"""Moves that staff and jobs decide upon under the wallet's lock, with all that follows from them for grants and lots

Revision: 0211, after 0243
"""

from pathlib import Path

from alembic import op

revision = "0211"
down_revision = "0243"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0211_wallet_moves.sql").read_text())
