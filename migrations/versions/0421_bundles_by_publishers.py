"""Publishers put bundles of their own listings together

Revision: 0421
"""

from pathlib import Path

from alembic import op

revision = "0421"
down_revision = "0441"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0421_bundles_by_publishers.sql").read_text())
