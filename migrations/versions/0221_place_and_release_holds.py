"""place, release and expire holds; agree on a credit limit

Revision: 0221
"""

from pathlib import Path

from alembic import op

revision = "0221"
down_revision = "0310"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0221_place_and_release_holds.sql").read_text())
