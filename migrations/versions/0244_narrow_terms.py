"""The next terms carry only what they need

Revision: 0244, after 0214
"""

from pathlib import Path

from alembic import op

revision = "0244"
down_revision = "0214"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0244_narrow_terms.sql").read_text())
