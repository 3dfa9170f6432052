"""a captured part takes the hold's bonus first

Revision: 0203
"""

from pathlib import Path

from alembic import op

revision = "0203"
down_revision = "0300"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0203_captures_take_bonus_first.sql").read_text())
