"""Store prices without tax

Revision: 0346
"""

from pathlib import Path

from alembic import op

revision = "0346"
down_revision = "0351"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0346_store_prices_without_tax.sql").read_text())
