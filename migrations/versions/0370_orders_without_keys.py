"""Orders and licences without the foreign keys that their own statements keep

Revision: 0370
"""

from pathlib import Path

from alembic import op

revision = "0370"
down_revision = "0353"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0370_orders_without_keys.sql").read_text())
