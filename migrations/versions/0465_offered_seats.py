"""An offer says for how many seats it is

Revision: 0465
"""

from pathlib import Path

from alembic import op

revision = "0465"
down_revision = "0423"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0465_offered_seats.sql").read_text())
