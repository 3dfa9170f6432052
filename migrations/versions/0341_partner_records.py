"""What became of partners' services, added up

Revision: 0341
"""

from pathlib import Path

from alembic import op

revision = "0341"
down_revision = "0345"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0341_partner_records.sql").read_text())
