"""Forecasts of renewals go by the consumption order

Revision: 0453
"""

from pathlib import Path

from alembic import op

revision = "0453"
down_revision = "0422"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0453_forecast_by_order.sql").read_text())
