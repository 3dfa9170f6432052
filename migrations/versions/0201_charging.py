"""charging is set-based, captures holds and knows credit limits; what expires in parts

Revision: 0201
"""

from pathlib import Path

from alembic import op

revision = "0201"
down_revision = "0251"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0201_charging.sql").read_text())
