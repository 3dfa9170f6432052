"""What the next term of a subscription is, in SQL; parked, suspended, announced

Revision: 0240, after 0220
"""

from pathlib import Path

from alembic import op

revision = "0240"
down_revision = "0220"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0240_renewal_terms.sql").read_text())
