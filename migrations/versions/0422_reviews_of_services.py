"""Buyers of a service rate it once an order

Revision: 0422
"""

from pathlib import Path

from alembic import op

revision = "0422"
down_revision = "0421"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0422_reviews_of_services.sql").read_text())
