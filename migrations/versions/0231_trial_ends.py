"""which trials have not been paid for

Revision: 0231
"""

from pathlib import Path

from alembic import op

revision = "0231"
down_revision = "0212"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0231_trial_ends.sql").read_text())
