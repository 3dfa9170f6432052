"""Tax rates with the instant each begins

Revision: 0250, after 0200
"""

from pathlib import Path

from alembic import op

revision = "0250"
down_revision = "0200"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0250_tax_rates.sql").read_text())
