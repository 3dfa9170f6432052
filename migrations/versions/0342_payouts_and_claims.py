"""What partners are owed and paid, and claims of buyers

Revision: 0342
"""

from pathlib import Path

from alembic import op

revision = "0342"
down_revision = "0341"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0342_payouts_and_claims.sql").read_text())
