"""Host versions of members and of what the store sells

Revision: 0410
"""

from pathlib import Path

from alembic import op

revision = "0410"
down_revision = "0420"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0410_host_versions.sql").read_text())
