"""Licences by seats

Revision: 0400
"""

from pathlib import Path

from alembic import op

revision = "0400"
down_revision = "0451"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0400_license_seats.sql").read_text())
